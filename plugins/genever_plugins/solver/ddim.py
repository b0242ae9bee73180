"""DDIM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.training import Field
from jaxtyping import Float
from torch import Tensor

from genever_plugins.solver._gaussian_steps import log_normal
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
        eta: new noise; 0 = deterministic, so that no step has a probability, 1 = as much as the ancestral solver.
        clip: largest absolute value of the estimate of data. 1 suits pixels. None = disable.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Song et al., Denoising Diffusion Implicit Models, 2021, eq. (12) and (16). arXiv:2010.02502
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 50
    eta: Annotated[float, Ge(0), Le(1)] = 0.0
    clip: Annotated[float, Gt(0)] | None = None
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device).unbind()
        x = field.path.sigma(times[0]) * noise
        for t, after in pairwise(times):
            x, std = self._step(field, x, t, after, self.eta)
            if self.eta:
                x = x + std * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """All of them."""
        return range(self.num_steps if self.eta else 0)

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, after step i from x. Without noise: eta is 0."""
        t, after = grid(field.path, self.num_steps, self.shift, x.device)[i : i + 2].unbind()
        return self._step(field, x, t, after, self.eta if noisy else 0.0)

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """log Normal(x_next; mean, std²) in float32: a mean over dimensions, not a sum."""
        return log_normal(x_next, mean, std)

    def _step(self, field: Field, x: Tensor, t: Tensor, after: Tensor, eta: float) -> tuple[Tensor, Tensor]:
        x_1, x_0 = self._estimates(field, x, t)
        alpha, sigma = field.path.alpha(after), field.path.sigma(after)
        if eta == 0:
            return alpha * x_1 + sigma * x_0, torch.zeros_like(sigma)
        s = eta * sigma / field.path.sigma(t) * forward_variance(field.path, t, after).sqrt()  # eq. (16)
        return alpha * x_1 + (sigma.square() - s.square()).clamp_min(0).sqrt() * x_0, s  # eq. (12)

    def _estimates(self, field: Field, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        x_1, x_0 = field.estimates(x, t)
        if self.clip is None:
            return x_1, x_0
        x_1 = x_1.clamp(-self.clip, self.clip)
        return x_1, (x - field.path.alpha(t) * x_1) / field.path.sigma(t)
