"""Heun's method."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid

__all__ = ["Heun"]


@dataclass(frozen=True, kw_only=True)
class Heun:
    """Follow the velocity with Heun's method: the mean of the velocities at both ends of a step.

    Second order, 2 num_steps - 1 evaluations: the last step is Euler's, because a field is least known at its end. One
    such step leaves the order as it is.

    Args:
        num_steps: steps; each but the last takes two evaluations of the field.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, algorithm 1.
            arXiv:2206.00364
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 25
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device).unbind()
        x = field.path.sigma(times[0]) * noise
        for t, after in pairwise(times[:-1]):
            x = _step(field, x, t, after)
        return x + (times[-1] - times[-2]) * field.velocity(x, times[-2])


def _step(field: Field, x: Tensor, t: Tensor, after: Tensor) -> Tensor:
    here = field.velocity(x, t)
    there = field.velocity(x + (after - t) * here, after)
    return x + (after - t) / 2 * (here + there)
