"""One group of parameters, its optimizers and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genever.slots import Optimizer

__all__ = ["Learner"]


class Learner:
    """Takes an optimizer step of one group, clipped, and never with a gradient that is not finite.

    Args:
        parameters: what learns, by 'role.name'.
        part: builds the optimizers and schedules their rate.
        clip_norm: largest norm of the group's gradient. None = disable.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], part: Optimizer, clip_norm: float | None) -> None:
        self.parameters = list(parameters.values())
        self.ids = {id(p) for p in self.parameters}
        self.schedule = part.schedule
        self.optimizers = part.build(parameters)
        self.base_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.clip_norm = clip_norm

    def set_rate(self, step: int, num_steps: int) -> float:
        """Sets the rate of a step of this round; returns the schedule's factor."""
        factor = 1.0 if self.schedule is None else self.schedule(step, num_steps)
        for optimizer, rates in zip(self.optimizers, self.base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        return factor

    def learn(self, finite: Tensor) -> tuple[Tensor, Tensor]:
        """Takes a step, unless the loss or the gradient is not finite.

        Args:
            finite: whether the losses that were accumulated are, a scalar on the device.

        Returns:
            The gradient's norm before clipping, and whether the step was taken; both stay on the device.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        finite = finite & norm.isfinite()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm, foreach=True)
        for optimizer in self.optimizers:
            _step_if(optimizer, finite)
            optimizer.zero_grad(set_to_none=True)
        return norm, finite

    def state_dict(self) -> list[dict[str, Any]]:
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        for optimizer, state in zip(self.optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def _step_if(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Fused optimizers decide on the device; the others have to be waited for."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite.item():
        optimizer.step()
