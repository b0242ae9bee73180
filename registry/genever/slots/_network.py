"""What predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from genever.values import Condition, ConditionSpec, LatentSpec

__all__ = ["Backbone", "Network", "NumberedNetwork"]


@runtime_checkable
class Network(Protocol):
    """A built backbone, an `nn.Module`. Its blocks, each of which is compiled and sharded on its own, are the entries of its
    outermost `nn.ModuleList`s.

    Attributes:
        num_blocks: taps are 1 .. num_blocks: the output of that block (0 where there are no taps).
        feature_width: width of the tapped features.
        feature_grid: (rows, columns) of the tapped tokens, row-major.
    """

    num_blocks: int
    feature_width: int
    feature_grid: tuple[int, int]

    def __call__(
        self, x: Tensor, t: Float[Tensor, " batch"], condition: Condition, *, taps: Sequence[int] = ()
    ) -> tuple[Tensor, tuple[Float[Tensor, " batch tokens width"], ...]]:
        """The raw output, shaped as x, and the features of each tap in the order asked for."""
        ...


@runtime_checkable
class NumberedNetwork(Network, Protocol):
    """A network that reads `Condition.numbers`: what a backbone builds that provides "numbers".

    Attributes:
        numbers: what embeds each number, by its name. All that belongs to a number alone is here, and says nothing at
            first, whatever the number is: so a model may start from one that does not read it.
    """

    numbers: nn.ModuleDict


@runtime_checkable
class Backbone(Protocol):
    """Builds the network. It declares by `provides` what it has: "taps", "classes", "text", "image", "numbers", "any_size",
    "forward_mode".

    "any_size": its network takes latents of other sizes too, if it could be built for them. "numbers": its network is a
    `NumberedNetwork`. "forward_mode": its network has a forward-mode derivative, its attention being computed the plain way.
    """

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module: ...
