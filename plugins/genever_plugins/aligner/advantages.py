"""How much better an image is than others of its group."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

__all__ = ["advantages"]


def advantages(
    rewards: Float[Tensor, " groups size"], *, largest: float, offset: float = 1e-4, unbiased: bool = False
) -> Float[Tensor, " groups size"]:
    """Rewards, standardised within each group; exactly 0 where a group's are all equal.

    Args:
        largest: absolute value at which they are cut off.
        offset: added to the standard deviation.
        unbiased: the standard deviation divides by size - 1, not by size.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    standardised = centred / (rewards.std(1, unbiased=unbiased, keepdim=True) + offset)
    equal = rewards.amax(1, keepdim=True) == rewards.amin(1, keepdim=True)
    return standardised.masked_fill(equal, 0.0).clamp(-largest, largest)
