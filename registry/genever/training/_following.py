"""A network that follows another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["follow"]


@torch.no_grad()
def follow(follower: nn.Module, leader: nn.Module, names: Sequence[str], decay: float) -> None:
    """follower <- decay · follower + (1 - decay) · leader, in the weights of these names; buffers are taken over.

    A decay of 0 copies, to the bit.
    """
    # A state dict has every weight as it lies between two steps: in shards, where networks are sharded.
    theirs, its = follower.state_dict(), leader.state_dict()
    own = [theirs[name] for name in names]
    torch._foreach_lerp_(own, [its[name] for name in names], 1.0 - decay)  # pyright: ignore[reportPrivateImportUsage]
    for buffer, leading in zip(follower.buffers(), leader.buffers(), strict=True):
        buffer.copy_(leading)
