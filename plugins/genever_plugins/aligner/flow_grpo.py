"""Group relative policy optimization of a flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, ClassVar, Protocol, cast, runtime_checkable

import torch
from annotated_types import Ge, Gt
from genever.slots import CodecModule, Guidance, Loss, Reward, RewardModel, Solver
from genever.training import Batch, Composition, Feed, Field, Method, Regression, Update
from genever.values import Samples
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["FlowGRPO"]


@dataclass(frozen=True, kw_only=True)
class FlowGRPO:
    """Make what is rewarded likelier: on-policy, from groups of images of one condition.

    Each step solves an SDE for `train.batch_size` images in groups, and scores them decoded: A = (r - mean) / (std + 1e-4)
    over a group. Of each solver step but the last, whose mean is taken, it then minimises

        mean max(-A ρ, -A clip(ρ, 1 ± clip)) + kl_weight · KL,    ρ = p(x' | x) / p_rollout(x' | x),

    where log p is a mean over dimensions, so that `clip` is small. KL = mean (μ - μ_reference)² / (2 std²) is exact, with
    std² = s² dt: the authors' code leaves dt out, so its weight of 0.04 at 10 steps is 0.004 here. Groups whose rewards
    are all equal count for nothing. Rollouts see the same batches and precision as updates: the first ρ is exactly 1.

    Args:
        reward: scores images; conditions are those of the training data, with none dropped.
        solver: the SDE of the rollouts; fewer steps than samples are made with will do.
        group_size: images of one condition; groups lie within a micro-batch, so it divides train.batch_size / accumulate.
        num_updates: optimizer steps over each rollout. 1 = strictly on-policy, where ρ is 1 and nothing is clipped.
        clip: ρ gives no gradient once it is further than this from 1 to the better side.
        advantage_clip: largest |A|.
        kl_weight: strength of the pull to the model before tuning. 0 = disable; then no reference is kept.
        guidance: of the rollouts and the updates, with gradient through both of its outputs. None = conditional.

    References:
        Liu et al., Flow-GRPO: Training flow matching models via online RL, 2025. arXiv:2505.05470
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("loss.linear_path", "solver.log_probs")

    reward: Reward
    solver: Solver
    group_size: Annotated[int, Ge(2)] = 16
    num_updates: Annotated[int, Ge(1)] = 2
    clip: Annotated[float, Gt(0)] = 1e-4
    advantage_clip: Annotated[float, Gt(0)] = 5.0
    kl_weight: Annotated[float, Ge(0)] = 0.004
    guidance: Guidance | None = None

    def align(self, method: Regression, composition: Composition) -> Method:
        stage = composition.stage
        if stage.batch_size % (self.group_size * stage.accumulate):
            raise ValueError(
                f"train.batch_size = {stage.batch_size} in train.accumulate = {stage.accumulate} parts does not hold whole "
                f"groups of aligner.FlowGRPO.group_size = {self.group_size} images. Choose a batch size that is a multiple "
                f"of {self.group_size * stage.accumulate}."
            )
        solver = cast(StochasticSolver, self.solver)
        if solver.num_steps < 2:
            raise ValueError(
                f"aligner.FlowGRPO.solver takes {solver.num_steps} step, but its last step is not learned from. "
                "Let it take at least 2."
            )
        reference = {"reference": composition.tuned.reference()} if self.kl_weight else {}
        return GroupRelativePolicy(
            part=self,
            roles={"model": method.model, **reference},
            frozen=frozenset(reference),
            learns=method.learns,
            loss=method.loss,
            solver=solver,
            codec=composition.codec,
            reward=self.reward.build(composition),
        )


@runtime_checkable
class StochasticSolver(Protocol):
    """A solver whose steps are Gaussian."""

    @property
    def num_steps(self) -> int: ...
    def step(self, field: Field, x: Tensor, i: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation after step i from x."""
        ...

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """log N(x_next; mean, std²), a mean over dimensions."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Images of whole groups, and how they came about.

    Args:
        states: x before each step, and after the last.
        log_probs: of each step but the last, under the model that made it.
    """

    cond: Int[Tensor, " batch *rest"]
    null: Int[Tensor, " batch *rest"]
    states: tuple[Tensor, ...]
    log_probs: tuple[Float[Tensor, " batch"], ...]
    rewards: Float[Tensor, " groups size"]
    advantages: Float[Tensor, " batch"]


@dataclass(frozen=True, kw_only=True)
class GroupRelativePolicy:
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
        rollouts = [self.rollout(next(conditions)) for _ in range(conditions.accumulate)]
        learned = list(product(rollouts, range(self.solver.num_steps - 1)))
        for _ in range(self.part.num_updates):
            for number, (rollout, i) in enumerate(learned, start=1):
                yield self.update(rollout, i, step=number == len(learned), scale=1 / len(learned))

    def update(self, rollout: Rollout, i: int, *, step: bool, scale: float) -> Update:
        seen: dict[str, Tensor] = {}
        return Update(
            lambda: self.losses(rollout, i, seen), step=step, scale=scale, report=lambda: {**seen, **_scores(rollout)}
        )

    @torch.no_grad()
    def rollout(self, batch: Batch) -> Rollout:
        """Solves for a group of images of each condition of a batch, and scores them."""
        size, shape = self.part.group_size, tuple(batch.x_1.shape[1:])
        cond, null = (integers.repeat_interleave(size, dim=0) for integers in (batch.cond, batch.null))
        path = self.loss.path
        noise = batch.draws.normal("rollout noise", (size, *shape)).flatten(0, 1)
        states, log_probs = [path.sigma(torch.full((), path.start, device=noise.device)) * noise], []
        for i in range(self.solver.num_steps):
            mean, std = self.solver.step(self.field("model", cond, null), states[-1], i)
            if i < self.solver.num_steps - 1:
                z = batch.draws.normal(f"rollout step {i}", (size, *shape)).flatten(0, 1)
                states.append(mean + std * z)
                log_probs.append(self.solver.log_prob(states[-1], mean, std))
            else:
                states.append(mean)
        rewards = self.scores(states[-1], batch.samples).view(-1, size)
        return Rollout(
            cond=cond,
            null=null,
            states=tuple(states),
            log_probs=tuple(log_probs),
            rewards=rewards,
            advantages=advantages(rewards, self.part.advantage_clip).flatten(),
        )

    def losses(self, rollout: Rollout, i: int, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """The clipped policy gradient of solver step i, and the pull to the reference; notes in `seen` what is logged."""
        x, x_next = rollout.states[i], rollout.states[i + 1]
        mean, std = self.solver.step(self.field("model", rollout.cond, rollout.null), x, i)
        ratio = (self.solver.log_prob(x_next, mean, std) - rollout.log_probs[i]).exp()
        clipped = ratio.clamp(1 - self.part.clip, 1 + self.part.clip)
        policy = torch.maximum(-rollout.advantages * ratio, -rollout.advantages * clipped)
        away = (ratio.detach() - 1).abs()
        seen |= {"ratio_error": away.max(), "outside_clip": (away > self.part.clip).float().mean()}
        if not self.part.kl_weight:
            return {"policy": policy.mean()}
        with torch.no_grad():
            wanted, _ = self.solver.step(self.field("reference", rollout.cond, rollout.null), x, i)
        kl = ((mean - wanted) ** 2 / (2 * std**2)).mean()
        seen["kl_to_reference"] = kl.detach()
        return {"policy": policy.mean(), "kl": self.part.kl_weight * kl}

    def field(self, role: str, cond: Tensor, null: Tensor) -> Field:
        return Field(self.roles[role], self.loss, cond, guidance=self.part.guidance, null=null)

    def scores(self, latents: Tensor, samples: Samples) -> Float[Tensor, " batch"]:
        """The reward of each image, decoded in full precision as samples are."""
        size = self.part.group_size
        with torch.autocast(latents.device.type, enabled=False):
            images = self.codec.decode(latents.float()).clamp(-1, 1)
            return self.reward(images, _repeated(samples, images, size)).to(latents.device).float()

    def after(self, group: str, step: int) -> None: ...

    def state_dict(self) -> dict[str, object]:
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        assert not state, f"unexpected method state: {sorted(state)}"


def advantages(rewards: Float[Tensor, " groups size"], largest: float) -> Float[Tensor, " groups size"]:
    """Rewards, standardised within each group; exactly 0 where a group's are all equal."""
    centred = rewards - rewards.mean(1, keepdim=True)
    standardised = centred / (rewards.std(1, unbiased=False, keepdim=True) + 1e-4)
    equal = rewards.amax(1, keepdim=True) == rewards.amin(1, keepdim=True)
    return standardised.masked_fill(equal, 0.0).clamp(-largest, largest)


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
