"""The weighted error of each sample, in the space of what the network returns."""

from __future__ import annotations

from genever.slots import Distance
from jaxtyping import Float
from torch import Tensor

__all__ = ["over", "weighted_error"]


def over(t: Float[Tensor, " batch"], x: Tensor) -> Tensor:
    """Times [batch] shaped to multiply x [batch, ...]."""
    return t.view(-1, *[1] * (x.ndim - 1))


def weighted_error(
    output: Tensor, target: Tensor, *, weights: Float[Tensor, " batch"] | None, distance: Distance | None
) -> Float[Tensor, " batch"]:
    """The distance of each output from its target times its weight; None = the mean square, and weight 1."""
    error = (output - target).square().flatten(1).mean(1) if distance is None else distance(output, target)
    return error if weights is None else weights * error
