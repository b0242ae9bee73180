"""The straight path, which belongs to the losses that are defined on no other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Straight"]


@dataclass(frozen=True)
class Straight:
    """x_t = t x_1 + (1 - t) x_0."""

    start = 0.0
    stop = 1.0

    def alpha(self, t: Tensor) -> Tensor:
        return t

    def sigma(self, t: Tensor) -> Tensor:
        return 1 - t

    def d_alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def d_sigma(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)
