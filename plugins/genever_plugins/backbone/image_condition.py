"""A condition that is an image: further channels of the input, and how much noise is in it."""

from __future__ import annotations

from genever.values import Condition
from jaxtyping import Float
from torch import Tensor, cat, nn

from genever_plugins.backbone.time_embedding import TimeEmbedding

__all__ = ["ClassAndLevel", "beside", "level_embedding"]

#: Levels lie in [0, 1], as times do.
SCALE = 1000.0


def beside(
    x: Float[Tensor, " batch channels height width"], condition: Condition
) -> Float[Tensor, " batch all_channels height width"]:
    """x, and behind its channels those of the condition's image."""
    return x if condition.image is None else cat([x, condition.image], 1)


def level_embedding(width: int) -> TimeEmbedding:
    """The vector of how much noise is in the image, which is added to that of the time."""
    return TimeEmbedding(width, scale=SCALE)


class ClassAndLevel(nn.Module):
    """The sum of a class's vector and a level's, where diffusers has room for the class's alone.

    Args:
        classes: the table of classes. None = there are none.
    """

    def __init__(self, classes: nn.Module | None, width: int) -> None:
        super().__init__()
        self.classes = classes
        self.level = level_embedding(width)

    def forward(self, given: tuple[Tensor | None, Tensor]) -> Float[Tensor, " batch width"]:
        labels, level = given
        embedded = self.level(level)
        return embedded if self.classes is None else embedded + self.classes(labels)
