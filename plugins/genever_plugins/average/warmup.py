"""An average that forgets its start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Lt

__all__ = ["Warmup"]


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """decay = min(value, (1 + n) / (10 + n)) after step n: short memory at first, so that the start is soon forgotten.

    Args:
        decay: the decay in the long run.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    decay: Annotated[float, Ge(0), Lt(1)] = 0.9999

    def decay_at(self, step: int) -> float:
        return min(self.decay, (1 + step) / (10 + step))
