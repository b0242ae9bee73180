"""Denoising score matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._error import over
from genever_plugins.loss._gaussian import Gaussian

__all__ = ["ScoreMatching"]


@dataclass(frozen=True, kw_only=True)
class ScoreMatching(Gaussian):
    """Predict the score of the noisy data, grad log p_t(x_t), whose regression target is -x_0 / sigma.

    The score is the network's output over sigma, so the output stays near 1 at every noise level, and the plain error of the
    output is the score's error times sigma², the weighting of the paper. The network is shown x_t / sqrt(alpha² + sigma²).

    Args:
        path: @path.VE() for variance exploding.
        weighting: of the score's error. None = sigma².
        distance: between outputs. None = the mean square.

    References:
        Song and Ermon, Generative Modeling by Estimating Gradients of the Data Distribution, 2019, eq. (5)-(6).
            arXiv:1907.05600
        Song and Ermon, Improved Techniques for Training Score-Based Generative Models, 2020, technique 3. arXiv:2006.09011
    """

    provides: ClassVar[tuple[str, ...]] = ("path.*",)
    needs: ClassVar[tuple[str, ...]] = ("path.signal_at_start",)

    path: Path
    weighting: Weighting | None = None
    distance: Distance | None = None

    prediction = "score"

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        times = over(t, x_t)
        return x_t / torch.hypot(self.path.alpha(times), self.path.sigma(times)), t

    def mixture(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(t), -torch.ones_like(t)

    def scale(self, t: Tensor) -> Tensor:
        return 1 / self.path.sigma(t)
