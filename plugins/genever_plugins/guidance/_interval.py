"""Where a guidance guides."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["scales"]


def scales(
    scale: float, x: Tensor, t: Float[Tensor, " batch"], start: float, stop: float, *, outside: float = 1.0
) -> Float[Tensor, " batch *ones"]:
    """A scale for each sample, shaped to go with x: `scale` at times in [start, stop], `outside` elsewhere.

    Where it is 1, lerp returns its second output to the bit.
    """
    # Skipping the work outside of the interval would make the host wait for t at every step.
    inside = (t >= start) & (t <= stop)
    return torch.where(inside, scale, outside).to(x.dtype).view(-1, *[1] * (x.ndim - 1))
