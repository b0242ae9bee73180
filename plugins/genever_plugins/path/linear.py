"""The straight path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Linear"]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """The straight path from noise to data: x_t = t x_1 + (1 - t) x_0.

    alpha(t) = t, sigma(t) = 1 - t, so that dx_t/dt = x_1 - x_0 at every time. The estimates of data, noise and velocity
    from a predicted velocity are finite on all of [0, 1]; sigma is 0 at t = 1 and alpha is 0 at t = 0, so a loss that
    divides by one of them has to say what it does there.

    References:
        Lipman et al., Flow Matching for Generative Modeling, 2023. arXiv:2210.02747
        Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, 2023.
            arXiv:2209.03003
    """

    provides: ClassVar[tuple[str, ...]] = ("straight",)
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def start(self) -> float:
        return 0.0

    @property
    def stop(self) -> float:
        return 1.0

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)
