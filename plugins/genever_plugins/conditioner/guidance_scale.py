"""The scale of guidance, as a condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Conditioner
from genever.values import DataSpec
from torch import nn

from genever_plugins.conditioner.numbers import NumberModule

__all__ = ["GuidanceScale"]


@dataclass(frozen=True, kw_only=True)
class GuidanceScale:
    """Another conditioner's condition, and the scale of the guidance that one evaluation is to have the effect of.

    Whoever trains or samples sets it; until then it is 1, which is no guidance. A network that starts from a run without it
    begins as that run's, whatever the scale. "No condition" keeps it.

    Args:
        conditioner: what is asked for beside it.

    References:
        Meng et al., On distillation of guided diffusion models, 2022, section 3.1. arXiv:2210.03142
    """

    provides: ClassVar[tuple[str, ...]] = ("conditioner.*", "guidance_scale")
    needs: ClassVar[tuple[str, ...]] = ("backbone.numbers",)

    conditioner: Conditioner

    @property
    def dropout(self) -> float:
        """The other conditioner's."""
        return self.conditioner.dropout

    def build(self, data: DataSpec) -> nn.Module:
        return NumberModule(self.conditioner.build(data), data, name="guidance_scale", neutral=1.0)
