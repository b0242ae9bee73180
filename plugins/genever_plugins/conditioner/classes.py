"""A sample's label, handed to the backbone as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from genever.values import Condition, ConditionSpec, DataSpec, Samples
from jaxtyping import Int
from torch import Tensor, nn

__all__ = ["Classes"]


@dataclass(frozen=True, kw_only=True)
class Classes:
    """Class labels; label num_classes means "no class".

    The backbone owns the embedding, a table of num_classes + 1 rows, so its row of "no class" learns from the samples
    whose label was dropped.

    Args:
        dropout: share of training samples that lose their label, in [0, 1]; guidance needs some. 0 = disable.

    References:
        Ho and Salimans, Classifier-free diffusion guidance, 2022. arXiv:2207.12598
    """

    provides: ClassVar[tuple[str, ...]] = ("unconditional if dropout",)
    needs: ClassVar[tuple[str, ...]] = ("data.labels", "backbone.classes")

    dropout: Annotated[float, Ge(0), Le(1)] = 0.1

    def build(self, data: DataSpec) -> nn.Module:
        if data.num_classes is None:
            raise ValueError(
                "conditioner.Classes needs labels, but the data has none. "
                "Use conditioner.Unconditional, or data whose images are labelled."
            )
        return ClassesModule(data.num_classes)


class ClassesModule(nn.Module):
    """`genever.slots.ConditionerModule` of labels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.spec = ConditionSpec(num_classes=num_classes)
        self.num_classes = num_classes

    def prepare(self, samples: Samples) -> Int[Tensor, " batch"]:
        assert samples.labels is not None
        return samples.labels.long()

    def null(self, cond: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        return torch.full_like(cond, self.num_classes)

    def forward(self, cond: Int[Tensor, " batch"]) -> Condition:
        return Condition(classes=cond)
