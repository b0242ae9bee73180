"""The variance-preserving path of the cosine schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from torch import Tensor

__all__ = ["VPCosine"]


@dataclass(frozen=True, kw_only=True)
class VPCosine:
    """The variance-preserving path of the cosine schedule.

    With angle(t) = (1 - t + offset) / (1 + offset) pi / 2: alpha = cos(angle(t)) / cos(angle(1)), sigma = sqrt(1 - alpha²).
    It goes from t = 0.001 to t = 0.999, the outermost of 1000 levels at which both are above 0: at t = 0 no conversion from
    noise to data exists, and at t = 1 the slope of sigma is infinite.

    Args:
        offset: keeps sigma's first steps from data from being too small.

    References:
        Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, 2021, eq. (17). arXiv:2102.09672
    """

    provides: ClassVar[tuple[str, ...]] = ("signal_at_start",)
    needs: ClassVar[tuple[str, ...]] = ()

    offset: Annotated[float, Gt(0)] = 0.008

    @property
    def start(self) -> float:
        return 0.001

    @property
    def stop(self) -> float:
        return 0.999

    def alpha(self, t: Tensor) -> Tensor:
        return self._angle(t).cos() / math.cos(self._last_angle)

    def sigma(self, t: Tensor) -> Tensor:
        # sin² a - sin² b = sin(a - b) sin(a + b): 1 - alpha² without the cancellation near data.
        angle, last = self._angle(t), self._last_angle
        return ((angle - last).sin() * (angle + last).sin()).sqrt() / math.cos(last)

    def d_alpha(self, t: Tensor) -> Tensor:
        return self._angle(t).sin() * math.pi / (2 * (1 + self.offset) * math.cos(self._last_angle))

    def d_sigma(self, t: Tensor) -> Tensor:
        return -self.alpha(t) * self.d_alpha(t) / self.sigma(t)

    def _angle(self, t: Tensor) -> Tensor:
        return (1 - t + self.offset) / (1 + self.offset) * (math.pi / 2)

    @property
    def _last_angle(self) -> float:
        return self.offset / (1 + self.offset) * (math.pi / 2)
