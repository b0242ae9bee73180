"""Reward feedback learning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import CodecModule, Guidance, Reward, RewardModel
from genever.training import Batch, Composition, Feed, Field, Method, Regression, Update, derived_seed
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ReFL"]


@dataclass(frozen=True, kw_only=True)
class ReFL:
    """Climb the gradient of a reward through the last steps of sampling.

    For each condition of a batch the learned ODE is followed without gradient, by Euler's method on an even grid, to the
    beginning t of a random step in the last part of the grid; from there the estimate x̂_1 is made with gradient and
    decoded, r is its reward, and

        weight · mean max(0, threshold - r) + base_weight · (the base method's loss on the batch)

    is minimised. The gradient reaches the network's last evaluation alone. Decoded images are not cut off at black and
    white, where a reward would have no slope. A model that follows a reward without the base loss soon shows whatever the
    reward takes for good.

    Args:
        reward: differentiable.
        num_steps: of the grid.
        first_step: the earliest step, from 0, that the gradient is taken in; the latest is num_steps - 1. Early estimates
            are too blurred to be scored.
        weight: strength of the reward, relative to the base loss where that has weight 1.
        threshold: a reward beyond which an image is good enough, in units of the reward. None = no limit: -weight · mean r.
        base_weight: strength of the base method's loss. 0 = disable, as the authors' released code does.
        guidance: of the ODE and of the estimate. None = conditional.

    References:
        Xu et al., ImageReward: Learning and evaluating human preferences for text-to-image generation, 2023, algorithm 1.
            arXiv:2304.05977
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("reward.differentiable",)

    reward: Reward
    num_steps: Annotated[int, Ge(1)] = 40
    first_step: Annotated[int, Ge(0)] = 30
    weight: Annotated[float, Gt(0)] = 1e-3
    threshold: float | None = 2.0
    base_weight: Annotated[float, Ge(0)] = 1.0
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        if self.first_step >= self.num_steps:
            raise ValueError(
                f"aligner.ReFL.first_step = {self.first_step} is not a step of a grid of aligner.ReFL.num_steps = "
                f"{self.num_steps}. Choose one of 0 .. {self.num_steps - 1}."
            )

    def align(self, method: Regression, composition: Composition) -> Method:
        return RewardFeedback(part=self, base=method, codec=composition.codec, reward=self.reward.build(composition))


@dataclass(frozen=True, kw_only=True)
class RewardFeedback:
    """`genever.training.Method`: a rollout between the yields, then the reward's gradient and the base method's."""

    part: ReFL
    base: Regression
    codec: CodecModule
    reward: RewardModel

    @property
    def roles(self) -> Mapping[str, nn.Module]:
        return self.base.roles

    @property
    def frozen(self) -> frozenset[str]:
        return self.base.frozen

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return self.base.groups()

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        for part in range(data.accumulate):
            yield from self.updates_of(next(data), step, ends=part == data.accumulate - 1, scale=1 / data.accumulate)

    def updates_of(self, batch: Batch, step: int, *, ends: bool, scale: float) -> Iterator[Update]:
        """One or two gradients of a micro-batch; the last takes the optimizer step, if this batch ends it."""
        x, t = self.rollout(batch)
        seen: dict[str, Tensor] = {}
        has_base = self.part.base_weight > 0
        rewarded = ends and not has_base
        yield Update(lambda: self.feedback(batch, x, t, seen), step=rewarded, scale=scale, report=lambda: seen)
        if has_base:
            yield Update(lambda: self.base_losses(batch, step), step=ends, scale=scale)

    @torch.no_grad()
    def rollout(self, batch: Batch) -> tuple[Tensor, Float[Tensor, ""]]:
        """x before the step that the gradient is taken in, and the time then; the same step for the whole global batch."""
        path, field = self.base.loss.path, self.field(batch)
        times = torch.linspace(path.start, path.stop, self.part.num_steps + 1, device=batch.x_1.device)
        last = self.part.first_step + derived_seed(*batch.draws.key, "step") % (self.part.num_steps - self.part.first_step)
        x = path.sigma(times[0]) * batch.noise("rollout noise")
        for i in range(last):
            x = x + (times[i + 1] - times[i]) * field.velocity(x, times[i])
        return x, times[last]

    def feedback(self, batch: Batch, x: Tensor, t: Float[Tensor, ""], seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the estimate from x at t lacks of the threshold; notes in `seen` what is logged."""
        x_1 = self.field(batch).data(x, t)
        with torch.autocast(x.device.type, enabled=False):
            rewards = self.reward(self.codec.decode(x_1.float()), batch.samples).float()
        seen |= {"reward": rewards.detach().mean()}
        threshold = self.part.threshold
        lacking = -rewards if threshold is None else (threshold - rewards).relu()
        return {"feedback": self.part.weight * lacking.mean()}

    def base_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {name: self.part.base_weight * value for name, value in self.base.losses(batch, step).items()}

    def field(self, batch: Batch) -> Field:
        return batch.field(self.base.model, self.base.loss, self.part.guidance)

    def after(self, group: str, step: int) -> None:
        self.base.after(group, step)

    def state_dict(self) -> dict[str, object]:
        return self.base.state_dict()

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        self.base.load_state_dict(state)
