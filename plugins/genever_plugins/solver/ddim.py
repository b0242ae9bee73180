"""DDIM."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid
from genever_plugins.solver._posterior import forward_variance

__all__ = ["DDIM"]


@dataclass(frozen=True, kw_only=True)
class DDIM:
    """Mix the estimates of data and noise anew at every step: x' = alpha' x_1 + sqrt(sigma'² - s²) x_0 + s z.

    s = eta sigma' / sigma sqrt(sigma² - (alpha sigma' / alpha')²), on any Gaussian path; primes are at the step's end. On
    the straight path eta = 0 is Euler's method.

    Args:
        num_steps: evaluations of the field.
        eta: new noise; 0 = deterministic, 1 = as much as the ancestral solver.
        clip: largest absolute value of the estimate of data. 1 suits pixels. None = disable.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Song et al., Denoising Diffusion Implicit Models, 2021, eq. (12) and (16). arXiv:2010.02502
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("loss.gaussian",)

    num_steps: Annotated[int, Ge(1)] = 50
    eta: Annotated[float, Ge(0), Le(1)] = 0.0
    clip: Annotated[float, Gt(0)] | None = None
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device).unbind()
        x = field.path.sigma(times[0]) * noise
        for t, after in pairwise(times):
            x = self._step(field, x, t, after, generator)
        return x

    def _step(self, field: Field, x: Tensor, t: Tensor, after: Tensor, generator: torch.Generator) -> Tensor:
        x_1, x_0 = self._estimates(field, x, t)
        alpha, sigma = field.path.alpha(after), field.path.sigma(after)
        if self.eta == 0:
            return alpha * x_1 + sigma * x_0
        s = self.eta * sigma / field.path.sigma(t) * forward_variance(field.path, t, after).sqrt()  # eq. (16)
        z = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return alpha * x_1 + (sigma.square() - s.square()).clamp_min(0).sqrt() * x_0 + s * z  # eq. (12)

    def _estimates(self, field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x_1, x_0 = field.estimates(x, t)
        if self.clip is None:
            return x_1, x_0
        x_1 = x_1.clamp(-self.clip, self.clip)
        return x_1, (x - field.path.alpha(t) * x_1) / field.path.sigma(t)
