"""What a model's head says of the label of a noisy image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

from genever.training._protocol import named
from genever.training._read_head import read_head

if TYPE_CHECKING:
    from genever.training._compose import Composition

__all__ = ["LabelReader"]


@dataclass(frozen=True, kw_only=True)
class LabelReader:
    """The head of a model that is shown x_t, in latents, and never a condition: up to a constant, log p(label | x_t).

    A gradient flows into x_t, and into the model where it learns.

    Args:
        model: has the head.
        composition: of the stage that the model belongs to.
        head: its name.

    Raises:
        ValueError: there is no condition that says nothing.
    """

    model: nn.Module
    composition: Composition
    head: str = "labels"
    _null: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        conditioner, two = self.composition.conditioner, self.composition.data.fetch(range(2))
        nulls = conditioner.null(conditioner.prepare(two))
        if not nulls[0].equal(nulls[1]):
            raise ValueError(
                "A classifier of noisy images is shown them alone, but train.conditioner = "
                f"{named(self.composition.stage.conditioner)} keeps something of each image where it leaves its condition "
                "out. Use conditioner.Unconditional."
            )
        object.__setattr__(self, "_null", nulls[:1].to(self.composition.device))

    def __call__(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> Float[Tensor, " batch classes"]:
        cond = self._null.expand(len(x_t), *self._null.shape[1:])
        return read_head(self.model, self.head, self.composition.loss, x_t, t, cond)
