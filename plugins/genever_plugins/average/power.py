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
    the first step.

    Args:
        sigma_rel: the profile's standard deviation as a share of training; 0.05 is gamma = 16.97, 0.10 is gamma = 6.94.

    References:
        Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024, section 3.1 and appendix C.
            arXiv:2312.02696
    """

    provides: ClassVar[tuple[str, ...]] = ()
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
