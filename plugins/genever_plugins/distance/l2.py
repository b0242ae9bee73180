"""The squared error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

__all__ = ["L2"]


@dataclass(frozen=True, kw_only=True)
class L2:
    """The squared error, a mean over dimensions: |prediction - target|² / dimensions."""

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, prediction: Tensor, target: Tensor) -> Float[Tensor, " batch"]:
        return (prediction - target).square().flatten(1).mean(1)
