"""No condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.values import Condition, ConditionSpec, DataSpec, Samples
from jaxtyping import Int
from torch import Tensor, nn

__all__ = ["Unconditional"]


@dataclass(frozen=True, kw_only=True)
class Unconditional:
    """Labels and captions are not looked at."""

    provides: ClassVar[tuple[str, ...]] = ("unconditional",)
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def dropout(self) -> float:
        """There is nothing to drop."""
        return 0.0

    def build(self, data: DataSpec) -> nn.Module:
        return UnconditionalModule()


class UnconditionalModule(nn.Module):
    """`genever.slots.ConditionerModule` that says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = ConditionSpec()

    def prepare(self, samples: Samples) -> Int[Tensor, " batch"]:
        return torch.zeros(len(samples), dtype=torch.int64)

    def null(self, cond: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        return cond

    def forward(self, cond: Int[Tensor, " batch"]) -> Condition:
        return Condition()
