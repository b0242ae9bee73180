"""A condition that is an image: further channels of the input."""

from __future__ import annotations

from genever.values import Condition
from jaxtyping import Float
from torch import Tensor, cat

__all__ = ["beside"]


def beside(
    x: Float[Tensor, " batch channels height width"], condition: Condition
) -> Float[Tensor, " batch all_channels height width"]:
    """x, and behind its channels those of the condition's image."""
    return x if condition.image is None else cat([x, condition.image], 1)
