"""Euler's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid

__all__ = ["Euler"]


@dataclass(frozen=True, kw_only=True)
class Euler:
    """Follow the velocity with Euler's method: x <- x + (t' - t) u(x, t). First order, one evaluation a step.

    Args:
        num_steps: evaluations of the field.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 50
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device)
        x = field.path.sigma(times[0]) * noise
        for t, dt in zip(times[:-1].unbind(), times.diff().unbind(), strict=True):
            x = x + dt * field.velocity(x, t)
        return x
