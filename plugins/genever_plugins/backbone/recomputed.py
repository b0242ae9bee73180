"""Blocks whose activations are made again in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["run_block"]


def run_block(block: nn.Module, *inputs: object, recompute: bool) -> Any:
    """What the block makes of its inputs; with `recompute`, its activations are not stored (gradient checkpointing)."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)
    return block(*inputs)
