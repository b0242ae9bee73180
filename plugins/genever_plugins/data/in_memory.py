"""A dataset that fits in memory: fetching is one indexing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from genever.values import DataSpec, Samples
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["InMemory"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InMemory:
    """Images and labels in two tensors."""

    spec: DataSpec
    images: Float[Tensor, " num channels height width"]
    labels: Int[Tensor, " num"]

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Sequence[int]) -> Samples:
        rows = torch.tensor(indices, dtype=torch.int64)
        return Samples(images=self.images[rows], labels=self.labels[rows])
