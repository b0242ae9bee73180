"""Reinforcement learning of a denoiser on the forward process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import Average, Guidance, Reward, Solver
from genever.training import Batch, Composition, Feed, Method, Regression, Stateless, Update, follow, frozen_copy
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.advantages import advantages
from genever_plugins.aligner.groups import Groups, GroupSampler, group_sampler, updates_on_groups

__all__ = ["DiffusionNFT", "branches", "normalised_error", "optimality"]


@dataclass(frozen=True, kw_only=True)
class DiffusionNFT:
    """Move towards what is rewarded, and away from what is not, by the denoising loss alone.

    Each step samples train.batch_size images in groups of one condition, by any solver and the old policy, and scores them.
    Each clean image x_1 is good with r = clip(A / (2 · advantage_clip) + 1/2, 0, 1), where A is its reward, standardised
    within its group. It is noised to several x_t, at which x̂ and x̂_old are the model's and the old policy's estimates of
    x_1, and

        x̂₊ = beta x̂ + (1 - beta) x̂_old,    x̂₋ = (1 + beta) x̂_old - beta x̂,
        (advantage_clip / beta) mean [r |x̂₊ - x_1|² / w₊ + (1 - r) |x̂₋ - x_1|² / w₋] + kl_weight mean |v - v_reference|²

    is minimised in one optimizer step. w = mean |x̂ - x_1| of each image and branch is a number. Where it is left out and
    the old policy is right on average, the minimum is x̂_old + (2 / beta) E[r (x_1 - x̂_old)]. Mixing estimates of data or
    velocities comes to the same. The old policy is a moving average of the model. No step's probability is needed, so any
    solver, path and prediction will do. Groups whose rewards are all equal hold the model to the old policy.

    It costs three forward passes for each image and time, and the memory of the model once more.

    Args:
        reward: scores images; conditions are those of the training data, with none dropped.
        average: the old policy's, of the training step. Its first decay is 0: the first step is on-policy.
        group_size: images of one condition; groups lie within a micro-batch of a process, so it divides its size.
        num_times: times, drawn by train.sampler, and noises at which each image is learned from.
        beta: how far the two branches lie from the old policy; the smaller, the larger the step. The authors take 1, and
            0.1 for single rewards such as OCR.
        advantage_clip: |A| at which r is 0 or 1.
        kl_weight: strength of the pull to the model before tuning. 0 = disable; then no reference is kept.
        solver: of the rollouts. One that adds noise on the way adds other noise on another number of processes.
            None = train.solver.
        guidance: of the rollouts. None = conditional.

    References:
        Zheng et al., DiffusionNFT: Online diffusion reinforcement with forward process, 2025. arXiv:2509.16117
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, str]] = {"average": "average.Ramp"}

    reward: Reward
    average: Average
    group_size: Annotated[int, Ge(2)] = 16
    num_times: Annotated[int, Ge(1)] = 4
    beta: Annotated[float, Gt(0)] = 1.0
    advantage_clip: Annotated[float, Gt(0)] = 5.0
    kl_weight: Annotated[float, Ge(0)] = 1e-4
    solver: Solver | None = None
    guidance: Guidance | None = None

    def align(self, method: Regression, composition: Composition) -> Method:
        reference = {"reference": composition.tuned.reference()} if self.kl_weight else {}
        return NegativeAware(
            part=self,
            roles={"model": method.model, "old": frozen_copy(composition.model), **reference},
            frozen=frozenset(reference),
            base=method,
            sampler=group_sampler(self, composition),
        )


@dataclass(frozen=True, kw_only=True)
class NegativeAware(Stateless):
    """`genever.training.Method`: rollouts of the old policy between the yields, then both branches on clean images."""

    part: DiffusionNFT
    roles: Mapping[str, nn.Module]
    frozen: frozenset[str]
    base: Regression
    sampler: GroupSampler

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.base.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        # What is not frozen is put into training mode, but the old policy has no dropout.
        old = self.roles["old"].eval()
        return updates_on_groups(data, self.sampler, old, self.losses, num_times=self.part.num_times)

    def losses(self, batch: Batch, groups: Groups, time: int, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both branches at the draw number `time`, and the pull to the reference; notes in `seen` what is logged."""
        loss, x_1 = self.base.loss, groups.x_1.flatten(0, 1)
        x_0, t = self.noise(batch, time), self.times(batch, time)
        x_t, cond = self.base.corrupt(x_1, x_0, t), batch.cond.repeat_interleave(self.part.group_size, dim=0)

        def output(role: str) -> Tensor:
            return self.roles[role](*loss.inputs(x_t, t), cond)[0].float()

        with torch.no_grad():
            old = loss.data(output("old"), x_t, t)
        found = output("model")
        positive, negative = branches(loss.data(found, x_t, t), old, self.part.beta)
        r = optimality(groups.rewards, self.part.advantage_clip).flatten()
        error = r * normalised_error(positive, x_1) + (1 - r) * normalised_error(negative, x_1)
        policy = self.part.advantage_clip / self.part.beta * error.mean()
        seen["distance_to_old"] = (loss.data(found.detach(), x_t, t) - old).square().mean()
        if not self.part.kl_weight:
            return {"policy": policy}
        with torch.no_grad():
            wanted = loss.velocity(output("reference"), x_t, t)
        away = (loss.velocity(found, x_t, t) - wanted).square().mean()
        seen["distance_to_reference"] = away.detach()
        return {"policy": policy, "kl": self.part.kl_weight * away}

    def noise(self, batch: Batch, time: int) -> Tensor:
        """x_0 of every image of every group."""
        return batch.draws.normal(f"noise {time}", (self.part.group_size, *batch.x_1.shape[1:])).flatten(0, 1)

    def times(self, batch: Batch, time: int) -> Float[Tensor, " images"]:
        """Times of every image of every group, within what the path can show."""
        size, path = self.part.group_size, self.base.loss.path
        context = TimeContext(latent=batch.latent, step=batch.step)
        drawn = batch.draws.each(
            f"time {time}",
            lambda num, generator: self.base.sampler(num * size, generator=generator, context=context).view(num, size),
        )
        return drawn.flatten().clamp(path.start, path.stop)

    def after(self, group: str, step: int) -> None:
        names = [name.removeprefix("model.") for name in self.base.learns]
        follow(self.roles["old"], self.roles["model"], names, self.part.average.decay_at(step))


def branches(x: Tensor, old: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The estimates that an image should be likelier and unlikelier under than under the old one."""
    return beta * x + (1 - beta) * old, (1 + beta) * old - beta * x


def optimality(rewards: Float[Tensor, " groups size"], advantage_clip: float) -> Float[Tensor, " groups size"]:
    """r in [0, 1]: 1/2 where an image is as good as its group, and where all of a group are equally good."""
    return advantages(rewards, largest=advantage_clip) / (2 * advantage_clip) + 0.5


def normalised_error(x: Tensor, x_1: Tensor) -> Float[Tensor, " batch"]:
    """|x - x_1|² / w, a mean over dimensions, where w = mean |x - x_1| gets no gradient."""
    weight = (x.detach() - x_1).abs().flatten(1).mean(1).clamp_min(1e-5)
    return (x - x_1).square().flatten(1).mean(1) / weight
