"""An average whose memory grows with training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt, Lt

__all__ = ["Power"]


@dataclass(frozen=True, kw_only=True)
class Power:
    """EDM2's power-function average: after step n (from 1) the weights of step m count in proportion to m^gamma.

    decay = (1 - 1/n)^(gamma + 1). The profile keeps its shape as training goes on, and nothing of the start is left after
    the first step. Out of the snapshots of two such averages those of other lengths are put together afterwards: see
    `genever evaluate --average-length`.

    Args:
        sigma_rel: the profile's standard deviation as a share of training; 0.05 is gamma = 16.97, 0.10 is gamma = 6.94.

    References:
        Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024, section 3.1 and appendix C.
            arXiv:2312.02696
    """

    provides: ClassVar[tuple[str, ...]] = ("profile",)
    needs: ClassVar[tuple[str, ...]] = ()

    sigma_rel: Annotated[float, Gt(0), Lt(0.28)] = 0.1

    @cached_property
    def gamma(self) -> float:
        """The exponent whose profile has this width: sigma_rel² = (gamma + 1) / ((gamma + 2)² (gamma + 3))."""
        inverse = self.sigma_rel**-2
        roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
        return float(max(root.real for root in roots))

    def decay_at(self, step: int) -> float:
        return (1 - 1 / (step + 1)) ** (self.gamma + 1)

    @property
    def length(self) -> float:
        return self.sigma_rel

    def of_length(self, length: float) -> Power:
        if not 0 < length < 0.28:
            raise ValueError(
                f"the average length {length!r} is no share of training that average.Power can have. "
                "Choose one above 0 and below 0.28."
            )
        return Power(sigma_rel=length)

    def overlap(self, num_steps: int, other: Power, other_num_steps: int) -> float:
        """∫ p q with p(s) = (gamma + 1) s^gamma / n^(gamma + 1) on [0, n], and q likewise: eq. (151)."""
        (n, early), (m, late) = sorted([(num_steps, self.gamma), (other_num_steps, other.gamma)])
        return (early + 1) * (late + 1) / (early + late + 1) * (n / m) ** late / m
