"""Labels, read off conditions."""

from __future__ import annotations

import torch
from genever.training import Composition
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["labels_of"]


@torch.no_grad()
def labels_of(composition: Composition, cond: Tensor) -> tuple[Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The label that each condition asks for, and whether it asks for any (else the label is 0)."""
    classes = composition.model.conditioner(cond).classes
    assert classes is not None
    asked = classes < (composition.conditioner.spec.num_classes or 0)
    return torch.where(asked, classes, 0), asked
