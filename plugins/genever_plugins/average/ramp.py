"""An average whose decay rises step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt

__all__ = ["Ramp"]


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """decay = min(slope · step, largest): the weights themselves at first, later what they were some steps ago.

    It suits an old policy that is to follow closely while little has been learned, and more slowly afterwards.

    Args:
        slope: what the decay gains in a step, which is counted from 0. 0 = it stays 0.
        largest: what the decay rises to.

    References:
        Zheng et al., DiffusionNFT: Online diffusion reinforcement with forward process, 2025. arXiv:2509.16117
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    slope: Annotated[float, Ge(0)] = 1e-3
    largest: Annotated[float, Ge(0), Lt(1)] = 0.5

    def decay_at(self, step: int) -> float:
        return min(self.slope * step, self.largest)
