"""What a model's head says of x_t."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

    from genever.slots import Loss

__all__ = ["read_head"]


def read_head(
    model: nn.Module, head: str, loss: Loss, x_t: Tensor, t: Float[Tensor, " batch"], cond: Tensor
) -> Float[Tensor, " batch outputs"]:
    """What it makes of x_t as the model is shown it. A gradient flows into x_t, and into the model where it learns."""
    output, (said,) = model(*loss.inputs(x_t, t), cond, taps=(head,))
    # Every weight takes part, as distributed training wants it.
    return said.float() + 0 * output.float().flatten(1).sum(1, keepdim=True)
