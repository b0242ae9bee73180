"""Samples of a network, made before training: a few at a time, by all processes together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from genever.slots import Guidance, ToldGuidance
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Int
from torch import Tensor

__all__ = ["asked", "in_chunks", "told"]

#: Samples that are made together.
AT_A_TIME = 250


def asked(composition: Composition, num: int) -> Int[Tensor, " num *rest"]:
    """Conditions of the training data in its order, again from its beginning where it ends."""
    prepare = composition.conditioner.prepare
    firsts = range(0, num, AT_A_TIME)
    return torch.cat([prepare(_samples(composition, range(first, min(first + AT_A_TIME, num)))) for first in firsts])


def told(composition: Composition, rows: Sequence[int], guidance: Guidance | None) -> Samples | None:
    """What those rows of `asked` ask for, where the guidance reads it."""
    return _samples(composition, rows) if isinstance(guidance, ToldGuidance) else None


def _samples(composition: Composition, rows: Sequence[int]) -> Samples:
    data = composition.data
    return data.fetch([row % len(data) for row in rows])


@torch.no_grad()
def in_chunks(composition: Composition, num: int, make: Callable[[int, Sequence[int]], Tensor]) -> Tensor:
    """`num` rows in their order, which the processes share; what is left over at the end is made in vain.

    Args:
        make: the rows of chunk number n, whose numbers it is told. Every process calls it equally often, so it may call
            networks that lie in shards.
    """
    world, made = composition.world, list[Tensor]()
    for first in range(0, -(-num // AT_A_TIME), world.size):
        chunk = first + world.rank
        made += world.gather(make(chunk, [(chunk * AT_A_TIME + n) % num for n in range(AT_A_TIME)]))
    return torch.cat(made)[:num]
