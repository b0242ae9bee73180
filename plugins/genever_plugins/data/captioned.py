"""Other data's images with captions of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, cast

from annotated_types import MinLen
from genever.slots import Data, Dataset, ResizableDataset
from genever.values import DataSpec, Samples

from genever_plugins.data.unplanned import unplanned

__all__ = ["Captioned"]


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """Other data's images, which captions of one's own describe: what they all show, with a new word for it, say.

    Image number i has caption number i mod their number, in both splits. Labels stay as they are. Whoever verifies images by
    the data's own captions does not know these: name such data where something asks for it.

    Args:
        data: whose images they are.
        captions: such as 'a photo of <thing>'.
    """

    provides: ClassVar[tuple[str, ...]] = ("captions", "data.* but verifiable")
    needs: ClassVar[tuple[str, ...]] = ()

    data: Data
    captions: Annotated[Sequence[str], MinLen(1)]

    def build(self, split: Literal["train", "validation"]) -> Described:
        return Described(unplanned(self.data.build(split), "data.Captioned.data"), tuple(self.captions))


class Described:
    """`genever.slots.Dataset` of another one's images with these captions, also resizable where that is."""

    def __init__(self, dataset: Dataset, captions: tuple[str, ...]) -> None:
        self.dataset = dataset
        self.captions = captions
        self.spec: DataSpec = replace(dataset.spec, captions=True)

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, indices: Sequence[int]) -> Samples:
        return self._described(self.dataset.fetch(indices), indices)

    def sizes(self) -> Sequence[tuple[int, int]]:
        return cast(ResizableDataset, self.dataset).sizes()

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        found = cast(ResizableDataset, self.dataset).fetch_at(indices, height=height, width=width)
        return self._described(found, indices)

    def _described(self, samples: Samples, indices: Sequence[int]) -> Samples:
        return replace(samples, captions=tuple(self.captions[index % len(self.captions)] for index in indices))
