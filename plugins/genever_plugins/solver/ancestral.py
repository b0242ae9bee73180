"""DDPM's ancestral solver."""

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
from genever_plugins.solver._posterior import forward_variance

__all__ = ["Ancestral"]


@dataclass(frozen=True, kw_only=True)
class Ancestral:
    """DDPM's ancestral solver: draw from the posterior q(x' | x, x_1) at the estimate of data, on any Gaussian path.

    With r = alpha / alpha' and v = sigma² - r² sigma'², primes at the step's end: the mean is
    (r sigma'² x + alpha' v x_1) / sigma². The last step takes the mean.

    Args:
        num_steps: evaluations of the field.
        variance: 'small' = the posterior's, v sigma'² / sigma² (right where data is one point, DDPM's beta tilde);
            'large' = v (right where data is standard normal, DDPM's beta).
        clip: largest absolute value of the estimate of data. 1 suits pixels. None = disable.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Ho et al., Denoising Diffusion Probabilistic Models, 2020, eq. (7) and algorithm 2. arXiv:2006.11239
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 250
    variance: Literal["small", "large"] = "small"
    clip: Annotated[float, Gt(0)] | None = None
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = grid(field.path, self.num_steps, self.shift, noise.device).unbind()
        x = field.path.sigma(times[0]) * noise
        for t, after in pairwise(times[:-1]):
            z = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            x = self._mean(field, x, t, after) + self._std(field.path, t, after) * z
        return self._mean(field, x, times[-2], times[-1])

    def _mean(self, field: Field, x: Tensor, t: Tensor, after: Tensor) -> Tensor:
        path, x_1 = field.path, field.data(x, t)
        if self.clip is not None:
            x_1 = x_1.clamp(-self.clip, self.clip)
        of_x = path.alpha(t) / path.alpha(after) * path.sigma(after).square()
        of_data = path.alpha(after) * forward_variance(path, t, after)
        return (of_x * x + of_data * x_1) / path.sigma(t).square()  # eq. (7)

    def _std(self, path: Path, t: Tensor, after: Tensor) -> Tensor:
        v = forward_variance(path, t, after)
        return v.sqrt() if self.variance == "large" else v.sqrt() * path.sigma(after) / path.sigma(t)
