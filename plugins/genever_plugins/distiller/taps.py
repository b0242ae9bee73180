"""The blocks whose features a discriminator reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from genever.slots import Network
from genever.training import Composition

__all__ = ["num_blocks", "tapped"]


def num_blocks(composition: Composition) -> int:
    """Of the backbone; taps are counted from 1."""
    return cast(Network, composition.model.network).num_blocks


def tapped(composition: Composition, parameter: str, taps: Sequence[int]) -> Network:
    """The backbone, in which these blocks exist.

    Args:
        parameter: the full name of who asks, such as 'distiller.LADD.taps'.

    Raises:
        ValueError: there is no such block.
    """
    network = cast(Network, composition.model.network)
    missing = [tap for tap in taps if not 1 <= tap <= network.num_blocks]
    if missing or not taps:
        found = f"{missing[0]} is not a block of this backbone" if missing else "this backbone has no blocks to tap"
        allowed = f"Choose among 1 .. {network.num_blocks}." if network.num_blocks else "Choose a backbone that has taps."
        raise ValueError(f"{parameter}: {found}, so a discriminator has no features to read. {allowed}")
    return network
