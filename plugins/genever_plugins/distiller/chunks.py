"""Samples of a network, made before training: a few at a time, by all processes together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from genever.training import Composition
from jaxtyping import Int
from torch import Tensor

__all__ = ["asked", "in_chunks"]

#: Samples that are made together.
AT_A_TIME = 250


def asked(composition: Composition, num: int) -> Int[Tensor, " num *rest"]:
    """Conditions of the training data in its order, again from its beginning where it ends."""
    data, prepare = composition.data, composition.conditioner.prepare
    firsts = range(0, num, AT_A_TIME)
    chunks = [[n % len(data) for n in range(first, min(first + AT_A_TIME, num))] for first in firsts]
    return torch.cat([prepare(data.fetch(chunk)) for chunk in chunks])


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
