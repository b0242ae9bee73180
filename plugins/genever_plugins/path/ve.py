"""The variance-exploding path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

__all__ = ["VE"]


@dataclass(frozen=True, kw_only=True)
class VE:
    """The variance-exploding path: x_t = x_1 + sigma(t) x_0, and sigma falls geometrically.

    alpha = 1, sigma = sigma_max^(1 - t) sigma_min^t. Everything is finite on [0, 1]. It does not quite end in data: noise of
    standard deviation sigma_min is left.

    Args:
        sigma_min: noise at t = 1, in units of the data.
        sigma_max: noise at t = 0; about the largest distance between two samples.

    References:
        Song and Ermon, Improved Techniques for Training Score-Based Generative Models, 2020. arXiv:2006.09011
        Song et al., Score-Based Generative Modeling through Stochastic Differential Equations, 2021, eq. (30)-(31).
            arXiv:2011.13456
    """

    provides: ClassVar[tuple[str, ...]] = ("signal_at_start",)
    needs: ClassVar[tuple[str, ...]] = ()

    sigma_min: Annotated[float, Gt(0)] = 0.01
    sigma_max: Annotated[float, Gt(0)] = 50.0

    def __post_init__(self) -> None:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"VE.sigma_min = {self.sigma_min!r} is not below VE.sigma_max = {self.sigma_max!r}. "
                "Noise has to fall from t = 0 to t = 1: swap them, or choose others."
            )

    @property
    def start(self) -> float:
        return 0.0

    @property
    def stop(self) -> float:
        return 1.0

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_max * (t * self._log_ratio).exp()

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return self._log_ratio * self.sigma(t)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_min / self.sigma_max)
