"""DPM-Solver++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import Path
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid

__all__ = ["DPMSolver"]


@dataclass(frozen=True, kw_only=True)
class DPMSolver:
    """DPM-Solver++(2M): second order from one evaluation a step, since each step remembers the one before.

    In l = ln(alpha / sigma) the estimate of data D changes slowly, and what is linear in x is solved exactly. A step from l
    to l' = l + h, the one before it of length k, is

        x' = sigma' / sigma x + (alpha' - alpha sigma' / sigma) (D + h / (2 k) (D - D_before)),

    on any Gaussian path. The first step and the last have first order, as has one after an infinite k (from pure noise),
    and the last returns the estimate of data where no noise is left. Where l is finite at both ends of the path, few such
    steps leave the order as it is; on the straight path, where it is not, the order is about 1.7.

    Args:
        num_steps: evaluations of the field.
        clip: largest absolute value of the estimate of data. 1 suits pixels. None = disable.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Lu et al., DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models, 2022, algorithm 2.
            arXiv:2211.01095
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 20
    clip: Annotated[float, Gt(0)] | None = None
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device)
        levels, times = _levels(field.path, times).unbind(), times.unbind()
        x, before = field.path.sigma(times[0]) * noise, None
        for i in range(self.num_steps):
            data = field.data(x, times[i])
            data = data if self.clip is None else data.clamp(-self.clip, self.clip)
            ahead = data
            if before is not None and i < self.num_steps - 1:
                # An infinite step behind makes the quotient 0.
                ahead = data + (levels[i + 1] - levels[i]) / (2 * (levels[i] - levels[i - 1])) * (data - before)
            x, before = _step(field.path, x, times[i], times[i + 1], ahead), data
        return x


def _levels(path: Path, times: Tensor) -> Tensor:
    """ln(alpha / sigma) at some times: minus infinity where there is nothing but noise."""
    return path.alpha(times).log() - path.sigma(times).log()


def _step(path: Path, x: Tensor, t: Tensor, after: Tensor, data: Tensor) -> Tensor:
    kept = path.sigma(after) / path.sigma(t)
    return kept * x + (path.alpha(after) - path.alpha(t) * kept) * data
