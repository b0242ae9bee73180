"""The weighted error of each sample, in the space of what the network predicts."""

from __future__ import annotations

from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

__all__ = ["over", "weighted_error"]


def over(t: Float[Tensor, " batch"], x: Tensor) -> Tensor:
    """Times [batch] shaped to multiply x [batch, ...]."""
    return t.view(-1, *[1] * (x.ndim - 1))


def weighted_error(
    output: Tensor,
    target: Tensor,
    t: Float[Tensor, " batch"],
    *,
    path: Path,
    prediction: str,
    weighting: Weighting | None,
    distance: Distance | None,
) -> Float[Tensor, " batch"]:
    """The distance of the output from its target times the weight of its time; None = the mean square, and weight 1."""
    error = (output - target).square().flatten(1).mean(1) if distance is None else distance(output, target)
    return error if weighting is None else weighting(t, path=path, prediction=prediction) * error
