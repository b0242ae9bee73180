"""EDM's preconditioned denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._error import over
from genever_plugins.loss._gaussian import Gaussian

__all__ = ["EDM"]


@dataclass(frozen=True, kw_only=True)
class EDM(Gaussian):
    """EDM's preconditioned denoiser, on the straight path.

    The straight path is EDM's seen from another scale: x_t = t x, sigma = (1 - t) / t. With s² = sigma² + sigma_data²:

        D(x, sigma) = sigma_data² / s² x + sigma sigma_data / s F(x / s, ln(sigma) / 4),

    and F's plain error is EDM's weighted error of D. ln sigma ~ Normal(P_mean, P_std²) is
    sampler.LogitNormal(mean=-P_mean, std=P_std): mean = 1.2, std = 1.2 in the paper. Solvers see the straight path, whose
    ordinary differential equation is EDM's. The network is told a sigma within [0.002, 80].

    Args:
        path: the straight one.
        sigma_data: standard deviation of the data.
        weighting: of the data's error. None = EDM's, (sigma² + sigma_data²) / (sigma sigma_data)².
        distance: between F's. None = the mean square.

    References:
        Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, eq. (7)-(8) and table 1.
            arXiv:2206.00364
    """

    provides: ClassVar[tuple[str, ...]] = ("straight",)
    needs: ClassVar[tuple[str, ...]] = ("path.straight",)
    defaults: ClassVar[dict[str, str]] = {"path": "path.Linear"}

    path: Path
    sigma_data: Annotated[float, Gt(0)] = 0.5
    weighting: Weighting | None = None
    distance: Distance | None = None

    prediction = "data"

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        sigma = ((1 - t) / t).clamp(0.002, 80)
        return x_t / self._spread(over(t, x_t)), sigma.log() / 4

    def mixture(self, t: Tensor) -> tuple[Tensor, Tensor]:
        spread = self._spread(t)
        return (1 - t) / (self.sigma_data * spread), -self.sigma_data * t / spread

    def scale(self, t: Tensor) -> Tensor:
        """c_out, with sigma = (1 - t) / t."""
        return (1 - t) * self.sigma_data / self._spread(t)

    def _spread(self, t: Tensor) -> Tensor:
        """The standard deviation of x_t: t sqrt(sigma² + sigma_data²), finite at t = 0."""
        return torch.sqrt((1 - t).square() + (self.sigma_data * t).square())
