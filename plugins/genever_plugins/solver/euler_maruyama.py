"""The method of Euler and Maruyama."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from genever.slots import Path
from genever.training import Field
from torch import Tensor

from genever_plugins.solver._grid import grid

__all__ = ["EulerMaruyama"]


@dataclass(frozen=True, kw_only=True)
class EulerMaruyama:
    """Follow dx = (u + w score) dt + sqrt(2 w) dW on any Gaussian path: its marginals are those of dx = u dt for every w(t).

    A step of length d has the mean x + d (u + w score) and the standard deviation sqrt(2 w d). In w, the path's start counts
    as the second time of the grid. The last step takes the mean of data, with what noise the path leaves there: that of the
    ODE, for a w that does not vanish pulls at noise that has almost gone.

    Args:
        num_steps: evaluations of the field.
        strength: factor on w. 0 = Euler's method.
        diffusion: w(t): 'constant' = 1; 'sigma' = sigma; 'sigma_squared' = sigma²; 'forward' = sigma² alpha' / alpha -
            sigma sigma', as much as turns data into noise along this path, backwards. 'constant' needs many steps near data.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Ma et al., SiT: Exploring Flow and Diffusion-based Generative Models with Scalable Interpolant Transformers, 2024.
            arXiv:2401.08740
        Song et al., Score-Based Generative Modeling through Stochastic Differential Equations, 2021, eq. (6).
            arXiv:2011.13456
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 250
    strength: Annotated[float, Ge(0)] = 1.0
    diffusion: Literal["constant", "sigma", "sigma_squared", "forward"] = "sigma"
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        path = field.path
        times = grid(path, self.num_steps, self.shift, noise.device)
        w = self.strength * self._diffusion(path, times[:-1].clamp_min(times[1]))
        x = path.sigma(times[0]) * noise
        for i, (t, after) in enumerate(pairwise(times[:-1].unbind())):
            x_1, x_0 = field.estimates(x, t)
            drift = path.d_alpha(t) * x_1 + path.d_sigma(t) * x_0 - w[i] * x_0 / path.sigma(t)
            z = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = x + (after - t) * drift + (2 * w[i] * (after - t)).sqrt() * z
        x_1, x_0 = field.estimates(x, times[-2])
        return path.alpha(times[-1]) * x_1 + path.sigma(times[-1]) * x_0

    def _diffusion(self, path: Path, t: Tensor) -> Tensor:
        sigma = path.sigma(t)
        if self.diffusion == "constant":
            return torch.ones_like(sigma)
        if self.diffusion == "forward":
            return sigma.square() * path.d_alpha(t) / path.alpha(t) - sigma * path.d_sigma(t)
        return sigma if self.diffusion == "sigma" else sigma.square()
