"""Further numbers of each sample, which are read beside its time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from genever_plugins.backbone.time_embedding import TimeEmbedding

__all__ = ["NumberEmbeddings", "RowsAdded"]

#: Levels and times lie in [0, 1], and guidance scales are not far from there.
SCALE = 1000.0


class NumberEmbeddings(nn.ModuleDict):
    """The sum of each number's vector, which is to be added to that of the time.

    Every vector is exactly 0 at first: a network that starts from one without a number draws what that one draws, until it
    learns what the number means. Built last, it leaves the luck of the network's other weights as it is.
    """

    def __init__(self, names: Iterable[str], width: int) -> None:
        super().__init__({name: _silent(width) for name in names})

    def forward(
        self, vector: Float[Tensor, " batch width"], numbers: Mapping[str, Float[Tensor, " batch"]] | None
    ) -> Float[Tensor, " batch width"]:
        """`vector` and those of the numbers."""
        for name, embedding in self.items():
            assert numbers is not None
            vector = vector + embedding(numbers[name])
        return vector


class RowsAdded(nn.Module):
    """A table whose rows are added to vectors that come along; its weights keep their name."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.weight = table.weight

    def forward(self, given: tuple[Tensor, Float[Tensor, " batch width"]]) -> Float[Tensor, " batch width"]:
        rows, vectors = given
        return vectors + functional.embedding(rows, self.weight)


def _silent(width: int) -> TimeEmbedding:
    embedding = TimeEmbedding(width, scale=SCALE)
    for parameter in embedding.mlp[-1].parameters():
        nn.init.zeros_(parameter)
    return embedding
