"""One group of parameters, its optimizers and its learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

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
        self.by_name = dict(parameters)
        self.parameters = list(parameters.values())
        self.names = {id(p): name for name, p in parameters.items()}
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
            finite: whether the losses that were accumulated are, in every process; a scalar on the device.

        Returns:
            The gradient's norm before clipping, and whether the step was taken; both stay on the device.
        """
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients, foreach=True)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        finite = finite & norm.isfinite()
        if self.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm, foreach=True)
        for optimizer in self.optimizers:
            _step_if(optimizer, finite)
            optimizer.zero_grad(set_to_none=True)
        return norm, finite

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What the optimizers remember, by '<number of the optimizer>/<role.name>/<entry>': tensors, and the rest."""
        tensors, rest = dict[str, Tensor](), dict[str, Any]()
        for number, optimizer in enumerate(self.optimizers):
            for parameter, entries in optimizer.state.items():
                for entry, value in entries.items():
                    place = tensors if isinstance(value, Tensor) else rest
                    place[f"{number}/{self.names[id(parameter)]}/{entry}"] = value
        return tensors, rest

    def room(self, name: str, size: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An empty tensor for something that is remembered, laid out as its parameter is where it is shaped alike."""
        parameter = self.by_name[name.split("/")[1]]
        if tuple(parameter.shape) == size:
            return torch.zeros_like(parameter, dtype=dtype, requires_grad=False)
        return torch.zeros(size, dtype=dtype)

    def load_state(self, tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> None:
        """Gives back what `state` returned. Rates are functions of the step, and not among it."""
        remembered: list[dict[str, dict[str, Any]]] = [{} for _ in self.optimizers]
        for key, value in {**tensors, **rest}.items():
            number, name, entry = key.split("/")
            remembered[int(number)].setdefault(name, {})[entry] = value
        for optimizer, states in zip(self.optimizers, remembered, strict=True):
            numbered = [p for group in optimizer.param_groups for p in group["params"]]
            state = {n: states[name] for n, p in enumerate(numbered) if (name := self.names[id(p)]) in states}
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _step_if(optimizer: torch.optim.Optimizer, finite: Tensor) -> None:
    """Fused optimizers decide on the device; the others have to be waited for."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite.item():
        optimizer.step()
