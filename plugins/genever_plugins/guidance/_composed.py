"""A guidance that only what it builds can stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from genever.slots import Guidance
from genever.training import Composition
from torch import Tensor

__all__ = ["Composed"]


class Composed(ABC):
    """`genever.slots.ComposedGuidance` that cannot guide before it is built."""

    @abstractmethod
    def build(self, composition: Composition) -> Guidance: ...

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        raise AssertionError(f"guidance.{type(self).__name__} is asked before Composition.build_guidance has built it.")
