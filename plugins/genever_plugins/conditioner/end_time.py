"""The time at which a step ends, as a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Conditioner
from genever.values import DataSpec
from torch import nn

from genever_plugins.conditioner.numbers import NumberModule

__all__ = ["EndTime"]


@dataclass(frozen=True, kw_only=True)
class EndTime:
    """Another conditioner's condition, and the time s at which a step from t is to end: for models that learn U(x, t, s).

    Whoever trains or samples sets it; until then it is 1, the data's end of the path. A network that starts from a run
    without it begins as that run's, whatever the end time. "No condition" keeps it.

    Args:
        conditioner: what is asked for beside it.
    """

    provides: ClassVar[tuple[str, ...]] = ("conditioner.*", "end_time")
    needs: ClassVar[tuple[str, ...]] = ("backbone.numbers",)

    conditioner: Conditioner

    @property
    def dropout(self) -> float:
        """The other conditioner's."""
        return self.conditioner.dropout

    def build(self, data: DataSpec) -> nn.Module:
        return NumberModule(self.conditioner.build(data), data, name="end_time", neutral=1.0)
