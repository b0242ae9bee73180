"""An average with a constant decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt

__all__ = ["Constant"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same decay after every step; half of the average is younger than ln 2 / (1 - decay) steps.

    The average starts as the weights at the start of a round, and forgets them as slowly as it learns.

    Args:
        decay: the decay. 0 = the weights themselves.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    decay: Annotated[float, Ge(0), Lt(1)] = 0.9999

    def decay_at(self, step: int) -> float:
        return self.decay
