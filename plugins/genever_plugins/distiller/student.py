"""What methods have in common in which nothing learns but the student."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genever.training import Regression, Stateless, follow
from torch import nn

__all__ = ["Student"]


@dataclass(frozen=True, kw_only=True)
class Student(Stateless):
    """The part of `genever.training.Method` that is the same for all of them.

    Args:
        roles: "model" is the student and "target", if there is one, what follows it. The others are frozen.
        base: the method whose parameters learn.
    """

    roles: Mapping[str, nn.Module]
    base: Regression

    @property
    def frozen(self) -> frozenset[str]:
        return frozenset(self.roles) - {"model", "target"}

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.base.learns}

    def draw_target(self, decay: float) -> None:
        """target <- decay * target + (1 - decay) * model."""
        names = [name.removeprefix("model.") for name in self.base.learns]
        follow(self.roles["target"], self.roles["model"], names, decay)
