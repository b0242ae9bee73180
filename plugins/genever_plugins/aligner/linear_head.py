"""A head that is linear in the mean of a block's tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from genever.slots import Network
from genever.training import Composition, named_parameters
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LinearHead", "head_parameters", "linear_head"]


class LinearHead(nn.Module):
    """`genever.slots.Head`: some numbers for an image, linear in the mean of its normalised tokens; 0 at first.

    It computes in full precision under any autocast, so that numbers which are nearly equal are told apart.
    """

    def __init__(self, tap: int, width: int, num_outputs: int) -> None:
        super().__init__()
        self.tap = tap
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, num_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, " batch tokens width"]) -> Float[Tensor, " batch outputs"]:
        with torch.autocast(features.device.type, enabled=False):
            tokens = self.norm(features.to(self.norm.weight.dtype))
            return self.linear(tokens.mean(1))


def linear_head(network: Network, tap: int | None, num_outputs: int, parameter: str) -> LinearHead:
    """The head of a backbone.

    Args:
        tap: the block that it reads. None = the last.
        parameter: the full name of `tap`.

    Raises:
        ValueError: there is no such block.
    """
    tap = network.num_blocks if tap is None else tap
    if not 1 <= tap <= network.num_blocks:
        raise ValueError(f"{parameter} = {tap} is not a block of this backbone. Choose one of 1 .. {network.num_blocks}.")
    return LinearHead(tap, network.feature_width, num_outputs)


def head_parameters(composition: Composition, head: str, name: str) -> Mapping[str, nn.Parameter]:
    """Those of a head that composing the stage has given to the model, by 'model.heads.name'.

    Args:
        name: the full name of the aligner.

    Raises:
        ValueError: the aligner is not the stage's own.
    """
    heads, role = composition.model.heads, f"model.heads.{head}"
    if head not in heads:
        raise ValueError(
            f"{name} stands within another aligner, but nothing of that counts for it. Let it be train.aligner."
        )
    return named_parameters({role: heads[head]}, role)
