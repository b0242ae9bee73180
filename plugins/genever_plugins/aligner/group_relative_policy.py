"""Rollouts of groups, and clipped policy gradients on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import torch
from genever.slots import CodecModule, Loss, RewardModel, StochasticSolver
from genever.training import Batch, Feed, Field, Stateless, Update, derived_seed
from genever.values import Samples
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.aligner.advantages import advantages

if TYPE_CHECKING:
    from genever_plugins.aligner.flow_grpo import FlowGRPO

__all__ = ["GroupRelativePolicy", "Rollout", "drawn_share"]


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Images of whole groups, and how they came about.

    Args:
        asked: what the conditions ask for.
        states: x before each step, and after the last.
        log_probs: of each noisy step but the last, under the model that made it.
    """

    cond: Int[Tensor, " batch *rest"]
    null: Int[Tensor, " batch *rest"]
    asked: Samples
    states: tuple[Tensor, ...]
    log_probs: Mapping[int, Float[Tensor, " batch"]]
    rewards: Float[Tensor, " groups size"]
    advantages: Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class GroupRelativePolicy(Stateless):
    """`genever.training.Method`: rollouts between the yields, then clipped policy gradients on them."""

    part: FlowGRPO
    roles: Mapping[str, nn.Module]
    frozen: frozenset[str]
    learns: Mapping[str, nn.Parameter]
    loss: Loss
    solver: StochasticSolver
    codec: CodecModule
    reward: RewardModel

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        # One sample of the data is the condition of a whole group.
        conditions = replace(data, batch_size=data.batch_size // self.part.group_size)
        noisy = self.solver.noisy_steps(step, seed=data.seed)
        rollouts = [self.rollout(next(conditions), noisy) for _ in range(conditions.accumulate)]
        steps = drawn_share(sorted(rollouts[0].log_probs), self.part.step_share, seed=derived_seed(data.seed, step))
        learned = list(product(rollouts, steps))
        for _ in range(self.part.num_updates):
            for number, (rollout, i) in enumerate(learned, start=1):
                yield self.update(rollout, i, step=number == len(learned), scale=1 / len(learned))

    def update(self, rollout: Rollout, i: int, *, step: bool, scale: float) -> Update:
        seen: dict[str, Tensor] = {}
        return Update(
            lambda: self.losses(rollout, i, seen), step=step, scale=scale, report=lambda: {**seen, **_scores(rollout)}
        )

    @torch.no_grad()
    def rollout(self, batch: Batch, noisy: Sequence[int]) -> Rollout:
        """Solves for a group of images of each condition of a batch, with noise in some steps, and scores them."""
        size = self.part.group_size
        cond, null = (integers.repeat_interleave(size, dim=0) for integers in (batch.cond, batch.null))
        asked = _repeated(batch.samples, batch.images.repeat_interleave(size, dim=0), size)
        states, log_probs = [self.start(batch)], dict[int, Tensor]()
        for i in range(self.solver.num_steps):
            x, std = self.solver.step(self.field("model", cond, null, asked), states[-1], i, noisy=i in noisy)
            if i in noisy and i < self.solver.num_steps - 1:
                mean, x = x, x + std * _of_groups(batch, f"rollout step {i}", size)
                log_probs[i] = self.solver.log_prob(x, mean, std)
            states.append(x)
        rewards = self.scores(states[-1], batch.samples).view(-1, size)
        return Rollout(
            cond=cond,
            null=null,
            asked=asked,
            states=tuple(states),
            log_probs=log_probs,
            rewards=rewards,
            advantages=self.advantages(rewards).flatten(),
        )

    def start(self, batch: Batch) -> Tensor:
        """What rollouts begin with: noise, of each image or of each group."""
        path, size = self.loss.path, self.part.group_size
        noise = (
            batch.noise("rollout noise").repeat_interleave(size, dim=0)
            if self.part.same_noise
            else _of_groups(batch, "rollout noise", size)
        )
        return path.sigma(torch.full((), path.start, device=noise.device)) * noise

    def advantages(self, rewards: Float[Tensor, " groups size"]) -> Float[Tensor, " groups size"]:
        part = self.part
        return advantages(rewards, largest=part.advantage_clip, offset=part.std_offset, unbiased=part.unbiased)

    def losses(self, rollout: Rollout, i: int, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """The clipped policy gradient of solver step i, and the pull to the reference; notes in `seen` what is logged."""
        x, x_next = rollout.states[i], rollout.states[i + 1]
        mean, std = self.solver.step(self.field("model", rollout.cond, rollout.null, rollout.asked), x, i)
        ratio = (self.solver.log_prob(x_next, mean, std) - rollout.log_probs[i]).exp()
        clipped = ratio.clamp(1 - self.part.clip, 1 + self.part.clip)
        policy = torch.maximum(-rollout.advantages * ratio, -rollout.advantages * clipped)
        away = (ratio.detach() - 1).abs()
        seen |= {"ratio_error": away.max(), "outside_clip": (away > self.part.clip).float().mean()}
        if not self.part.kl_weight:
            return {"policy": policy.mean()}
        with torch.no_grad():
            wanted, _ = self.solver.step(self.field("reference", rollout.cond, rollout.null, rollout.asked), x, i)
        kl = ((mean - wanted) ** 2 / (2 * std**2)).mean()
        seen["kl_to_reference"] = kl.detach()
        return {"policy": policy.mean(), "kl": self.part.kl_weight * kl}

    def field(self, role: str, cond: Tensor, null: Tensor, asked: Samples | None = None) -> Field:
        return Field(self.roles[role], self.loss, cond, guidance=self.part.guidance, null=null, samples=asked)

    def scores(self, latents: Tensor, samples: Samples) -> Float[Tensor, " batch"]:
        """The reward of each image, decoded in full precision as samples are."""
        size = self.part.group_size
        with torch.autocast(latents.device.type, enabled=False):
            images = self.codec.decode(latents.float()).clamp(-1, 1)
            return self.reward(images, _repeated(samples, images, size)).to(latents.device).float()


def drawn_share(steps: Sequence[int], share: float, *, seed: int) -> list[int]:
    """A share of some steps, at least one, in their order."""
    shuffled = sorted(steps, key=lambda i: derived_seed(seed, "learned step", i))
    return sorted(shuffled[: max(1, round(share * len(steps)))])


def _of_groups(batch: Batch, name: str, size: int) -> Tensor:
    """Standard normal noise of each image of each group."""
    return batch.draws.normal(name, (size, *batch.x_1.shape[1:])).flatten(0, 1)


def _repeated(samples: Samples, images: Tensor, size: int) -> Samples:
    """Every sample `size` times, one after the other, with the images that were made for it."""
    return Samples(
        images=images,
        labels=None if samples.labels is None else samples.labels.repeat_interleave(size),
        captions=None if samples.captions is None else tuple(c for c in samples.captions for _ in range(size)),
        extras={name: tuple(v for v in values for _ in range(size)) for name, values in samples.extras.items()},
    )


def _scores(rollout: Rollout) -> dict[str, Tensor]:
    return {"reward": rollout.rewards.mean(), "reward_std_in_group": rollout.rewards.std(1, unbiased=False).mean()}
