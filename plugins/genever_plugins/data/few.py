"""A few images of other data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from genever.slots import Data, Dataset
from genever.values import Samples

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
    """`genever.slots.Dataset` of the first samples of another one."""

    def __init__(self, dataset: Dataset, num: int) -> None:
        self.dataset = dataset
        self.num = min(num, len(dataset))
        self.spec = dataset.spec

    def __len__(self) -> int:
        return self.num

    def fetch(self, indices: Sequence[int]) -> Samples:
        outside = [index for index in indices if not 0 <= index < self.num]
        if outside:
            raise IndexError(f"There is no image number {outside[0]} among {self.num}.")
        return self.dataset.fetch(indices)
