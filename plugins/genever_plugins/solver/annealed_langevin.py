"""Annealed Langevin dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.slots import Path
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid

__all__ = ["AnnealedLangevin"]

#: Below it alpha counts as 0.
SMALLEST_ALPHA = 1e-3


@dataclass(frozen=True, kw_only=True)
class AnnealedLangevin:
    """Draw from p_t by its score alone, at less and less noise: x <- x + e score(x, t) + sqrt(2 e) z, e = rate sigma(t)².

    No step follows the path: where the noise falls, x only grows as its share of data does, by alpha' / alpha, and what does
    not fit p_t there is forgotten in the steps that follow. Modes keep the shares that they had when the ways between them
    closed, so few steps draw them in wrong shares. The last level ends with the estimate of data at it. Steps of finite rate
    leave a variance that is 1 / (1 - rate / 2) times too large.

    Args:
        num_levels: noise levels, at the beginnings of as many steps of the path.
        num_steps: of each level, each an evaluation of the field.
        rate: of a step, relative to the noise's variance.
        shift: > 1 puts more levels near noise (see sampler.Shifted). 1 = even in t.

    References:
        Song and Ermon, Generative Modeling by Estimating Gradients of the Data Distribution, 2019, algorithm 1.
            arXiv:1907.05600
        Song and Ermon, Improved Techniques for Training Score-Based Generative Models, 2020 (the last estimate).
            arXiv:2006.09011
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_levels: Annotated[int, Ge(1)] = 100
    num_steps: Annotated[int, Ge(1)] = 5
    rate: Annotated[float, Gt(0), Le(1)] = 0.3
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_levels, self.shift, noise.device)[:-1].unbind()
        x = field.path.sigma(times[0]) * noise
        for before, t in zip((times[0], *times), times, strict=False):
            x = _growth(field.path, before, t) * x
            for _ in range(self.num_steps):
                x = self._step(field, x, t, torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype))
        return field.data(x, times[-1])

    def _step(self, field: Field, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """With score = -x_0 / sigma, both terms are shares of sigma."""
        _, x_0 = field.estimates(x, t)
        return x + field.path.sigma(t) * ((2 * self.rate) ** 0.5 * z - self.rate * x_0)


def _growth(path: Path, t: Tensor, after: Tensor) -> Tensor:
    """alpha' / alpha, or 1 where there is nothing but noise."""
    alpha = path.alpha(t)
    return torch.where(alpha < SMALLEST_ALPHA, 1.0, path.alpha(after) / alpha)
