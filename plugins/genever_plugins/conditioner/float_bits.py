"""Integers, an image and its level in one row of integers: floats are there bit by bit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Row"]


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
        return torch.cat([_bits(level.unsqueeze(1)), other.reshape(len(other), -1).int(), _bits(image.flatten(1))], 1)

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
            image.contiguous().view(torch.float32).unflatten(1, self.image),
            level.contiguous().view(torch.float32).squeeze(1),
        )


def _bits(values: Float[Tensor, " batch values"]) -> Int[Tensor, " batch values"]:
    return values.float().contiguous().view(torch.int32)
