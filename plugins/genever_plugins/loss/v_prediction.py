"""Prediction of v."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._gaussian import Gaussian

__all__ = ["VPrediction"]


@dataclass(frozen=True, kw_only=True)
class VPrediction(Gaussian):
    """Predict v = alpha x_0 - sigma x_1 of x_t = alpha x_1 + sigma x_0.

    On a variance-preserving path data = alpha x_t - sigma v and noise = sigma x_t + alpha v. v points from data to noise,
    against this project's velocity.

    Args:
        path: any whose alpha and sigma are not 0 together, such as @path.VPCosine().
        weighting: of v's error. None = 1 at every time, which is SNR + 1 for the data's error.
        distance: between v's. None = the mean square.

    References:
        Salimans and Ho, Progressive Distillation for Fast Sampling of Diffusion Models, 2022, section 4 and appendix D.
            arXiv:2202.00512
    """

    provides: ClassVar[tuple[str, ...]] = ("path.*",)
    needs: ClassVar[tuple[str, ...]] = ()

    path: Path
    weighting: Weighting | None = None
    distance: Distance | None = None

    prediction = "v"

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        return x_t, t

    def mixture(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -self.path.sigma(t), self.path.alpha(t)

    def scale(self, t: Tensor) -> float:
        return 1.0
