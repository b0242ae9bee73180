"""The block whose features an aligner reads."""

from __future__ import annotations

from typing import cast

from genever.slots import Network
from genever.training import Composition

__all__ = ["tapped"]


def tapped(composition: Composition, parameter: str, tap: int) -> Network:
    """The backbone, in which block `tap` exists.

    Args:
        parameter: the full name of who asks, such as 'aligner.REPA.tap'.

    Raises:
        ValueError: there is no such block.
    """
    network = cast(Network, composition.model.network)
    if not 1 <= tap <= network.num_blocks:
        raise ValueError(f"{parameter} = {tap} is not a block of this backbone. Choose one of 1 .. {network.num_blocks}.")
    return network
