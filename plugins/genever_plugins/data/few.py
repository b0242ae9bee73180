"""A few images of other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

from annotated_types import Ge
from genever.slots import Data, Dataset, ResizableDataset, VerifiableDataset
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.data.unplanned import unplanned

__all__ = ["Few"]


@dataclass(frozen=True, kw_only=True)
class Few:
    """The first images of other data's training split, for tuners that learn from a handful. Its validation split is whole.

    Args:
        data: whose images they are.
        num: of them; all, where there are fewer.
    """

    provides: ClassVar[tuple[str, ...]] = ("data.*",)
    needs: ClassVar[tuple[str, ...]] = ()

    data: Data
    num: Annotated[int, Ge(1)] = 6

    def build(self, split: Literal["train", "validation"]) -> Dataset:
        dataset = self.data.build(split)
        return First(unplanned(dataset, "data.Few.data"), self.num) if split == "train" else dataset


class First:
    """`genever.slots.Dataset` of the first samples of another one, also resizable and verifiable where that is."""

    def __init__(self, dataset: Dataset, num: int) -> None:
        self.dataset = dataset
        self.num = min(num, len(dataset))
        self.spec = dataset.spec

    def __len__(self) -> int:
        return self.num

    def fetch(self, indices: Sequence[int]) -> Samples:
        return self.dataset.fetch(self._inside(indices))

    def sizes(self) -> Sequence[tuple[int, int]]:
        return cast(ResizableDataset, self.dataset).sizes()[: self.num]

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        return cast(ResizableDataset, self.dataset).fetch_at(self._inside(indices), height=height, width=width)

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """What the data says, where it can."""
        return cast(VerifiableDataset, self.dataset).verify(images, samples)

    def _inside(self, indices: Sequence[int]) -> Sequence[int]:
        outside = [index for index in indices if not 0 <= index < self.num]
        if outside:
            raise IndexError(f"There is no image number {outside[0]} among {self.num}.")
        return indices
