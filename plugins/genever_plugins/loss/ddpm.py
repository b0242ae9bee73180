"""Noise prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._gaussian import Gaussian

__all__ = ["DDPM"]


@dataclass(frozen=True, kw_only=True)
class DDPM(Gaussian):
    """Predict the noise x_0 (epsilon) of x_t = alpha x_1 + sigma x_0.

    data = (x_t - sigma noise) / alpha, score = -noise / sigma: errors grow by 1 / alpha near noise, so the path's alpha must
    be above 0 at its start ("signal_at_start").

    Args:
        path: @path.VPLinear() or @path.VPCosine() for DDPM's two schedules.
        weighting: of the noise's error. None = 1 at every time, the simplified objective.
        distance: between noises. None = the mean square.

    References:
        Ho et al., Denoising Diffusion Probabilistic Models, 2020, eq. (14). arXiv:2006.11239
        Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021. arXiv:2102.09672
    """

    provides: ClassVar[tuple[str, ...]] = ("path.*",)
    needs: ClassVar[tuple[str, ...]] = ("path.signal_at_start",)

    path: Path
    weighting: Weighting | None = None
    distance: Distance | None = None

    prediction = "noise"

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        return x_t, t

    def mixture(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), torch.ones_like(t)

    def scale(self, t: Tensor) -> float:
        return 1.0
