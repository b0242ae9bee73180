"""A constant learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Constant"]


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The full learning rate at every step."""

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, step: int, num_steps: int) -> float:
        return 1.0
