"""Integers and floats in one row of integers: floats are there bit by bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from genever.values import DataSpec, Samples
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Row", "bits", "floats", "form_of"]


@dataclass(frozen=True)
class Row:
    """What a sample's row holds: its level, the other condition, its image.

    A condition is one tensor, which methods repeat, choose rows of, and put beside others. It stays one of integers: floats
    among the inputs of a network may be rounded on their way (autocast, mixed precision of shards), and ids with them.

    Args:
        other: the shape of the other condition of one sample.
        image: (channels, rows, columns).
    """

    other: tuple[int, ...]
    image: tuple[int, int, int]

    def pack(
        self,
        other: Int[Tensor, " batch *rest"],
        image: Float[Tensor, " batch channels rows columns"],
        level: Float[Tensor, " batch"],
    ) -> Int[Tensor, " batch row"]:
        return torch.cat([bits(level.unsqueeze(1)), other.reshape(len(other), -1).int(), bits(image.flatten(1))], 1)

    def unpack(
        self, row: Int[Tensor, " batch row"]
    ) -> tuple[
        Int[Tensor, " batch *rest"],
        Float[Tensor, " batch channels rows columns"],
        Float[Tensor, " batch"],
    ]:
        level, other, image = row.split([1, math.prod(self.other), math.prod(self.image)], dim=1)
        return (
            other.long().reshape(len(row), *self.other),
            floats(image).unflatten(1, self.image),
            floats(level).squeeze(1),
        )


def bits(values: Float[Tensor, " batch values"]) -> Int[Tensor, " batch values"]:
    """Floats as integers of 32 bits."""
    return values.float().contiguous().view(torch.int32)


def floats(row: Int[Tensor, " batch values"]) -> Float[Tensor, " batch values"]:
    """The floats that integers hold, whatever their width."""
    return row.int().contiguous().view(torch.float32)


def form_of(conditioner: Any, data: DataSpec) -> tuple[int, ...]:
    """The shape of what a conditioner's module prepares of one sample."""
    with torch.device("cpu"):  # Where a module has no memory, it prepares all the same.
        nobody = Samples(
            images=torch.zeros(1, data.channels, data.height, data.width),
            labels=None if data.num_classes is None else torch.zeros(1, dtype=torch.int64),
            captions=("",) if data.captions else None,
        )
        return tuple(conditioner.prepare(nobody).shape[1:])
