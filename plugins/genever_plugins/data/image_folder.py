"""A folder of image files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

import numpy as np
import torch
from annotated_types import Ge, Lt
from genever.values import DataSpec, Samples
from numpy.typing import NDArray
from torch import Tensor

from genever_plugins.data.folder_listing import Entry, Listing, list_folder
from genever_plugins.data.image_file import UnreadableImageError, read_image, size_of

__all__ = ["ImageFiles", "ImageFolder"]

Read = TypeVar("Read")
logger = logging.getLogger("genever")


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Images from a folder in the Hugging Face imagefolder convention, resized to cover the asked size and cropped.

    Splits: the subfolder `train`, and `validation` (else `test`), where there is a `train`; otherwise, or without a second
    one, a share of the images is held out by a hash of their paths. Labels: the names of the images' folders in
    alphabetical order, where every image lies in one and there are at least two. Folders take turns, an image of each, so
    that whoever looks at the first images of a split sees every class. Captions: `metadata.jsonl` or `metadata.csv`
    anywhere in the folder, with `file_name` relative to it and the caption. Hidden files and files that are no images are
    left out. Every image is read once at the start, so a damaged one is found then, and never at night.

    Args:
        path: the folder.
        height: of the images in pixels.
        width: of the images in pixels.
        channels: 3 = colour, 1 = grey.
        caption_column: of the metadata. None = no captions.
        validation_share: of the images that is held out, in [0, 1), where no folder says which. 0 = none: the training
            images are the validation images too.
        min_side: images with a shorter side, in pixels, are skipped.
        max_skipped: how many images of a split may be unusable (damaged, too small, without a caption): they are reported
            and left out. With one more, nothing is trained.
        memory_mib: decoded images of a split are kept in memory if they need no more; otherwise files are read again
            whenever they are asked for.
        num_threads: that read files.

    References:
        Hugging Face, Datasets: Create an image dataset. https://huggingface.co/docs/datasets/image_dataset
    """

    provides: ClassVar[tuple[str, ...]] = ("labels", "captions", "resizable")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("memory_mib", "num_threads")

    path: str
    height: Annotated[int, Ge(1)]
    width: Annotated[int, Ge(1)]
    channels: Literal[1, 3] = 3
    caption_column: str | None = "text"
    validation_share: Annotated[float, Ge(0), Lt(1)] = 0.05
    min_side: Annotated[int, Ge(1)] = 1
    max_skipped: Annotated[int, Ge(0)] = 10
    memory_mib: Annotated[int, Ge(0)] = 2048
    num_threads: Annotated[int, Ge(1)] = 4

    def build(self, split: Literal["train", "validation"]) -> ImageFiles:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "does not exist"
            raise ValueError(f"ImageFolder.path = {self.path!r} {what}. Name a folder of images.")
        listing = list_folder(root, validation_share=self.validation_share, caption_column=self.caption_column)
        entries = listing.train if split == "train" else listing.validation
        return ImageFiles(self, listing, *self._usable(entries, listing, split))

    def _usable(
        self, entries: Sequence[Entry], listing: Listing, split: str
    ) -> tuple[list[Entry], list[NDArray[np.uint8]] | None]:
        """The entries that can be used, and their images if there is room."""
        fits = len(entries) * self.channels * self.height * self.width <= self.memory_mib * 2**20
        used, images, unusable = list[Entry](), list[NDArray[np.uint8]](), list[str]()

        def tried(entry: Entry) -> NDArray[np.uint8] | str | None:
            try:
                image = self.read(entry)
            except UnreadableImageError as error:
                return str(error)
            if listing.captions and not entry.caption:
                return "no metadata file gives it a caption"
            return image if fits else None

        for entry, found in zip(entries, self.in_threads(tried, entries), strict=True):
            if isinstance(found, str):
                unusable.append(f"{entry.file}: {found}")
                continue
            used.append(entry)
            images += [] if found is None else [found]
        self._report(unusable, len(used), split)
        return used, images if fits else None

    def _report(self, unusable: Sequence[str], num_used: int, split: str) -> None:
        listed = "".join(f"\n  {one}" for one in unusable[:5]) + ("\n  ..." if len(unusable) > 5 else "")
        if len(unusable) > self.max_skipped:
            raise ValueError(
                f"{len(unusable)} images of the {split} split cannot be used, and ImageFolder.max_skipped = "
                f"{self.max_skipped}. Mend or remove them, or raise it:{listed}"
            )
        if not num_used:
            raise ValueError(
                f"ImageFolder.path = {self.path!r} has no image for the {split} split that can be used. Mend these:{listed}"
            )
        for one in unusable:
            logger.warning("skipped %s", one)

    def read(self, entry: Entry, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        height, width = size or (self.height, self.width)
        return read_image(entry.file, height=height, width=width, channels=self.channels, min_side=self.min_side)

    def in_threads(self, call: Callable[[Entry], Read], entries: Iterable[Entry]) -> list[Read]:
        with ThreadPoolExecutor(self.num_threads, "read") as pool:
            return list(pool.map(call, entries))


class ImageFiles:
    """`genever.slots.ResizableDataset` of files.

    Args:
        images: decoded. None = read them when they are asked for.
    """

    def __init__(
        self, part: ImageFolder, listing: Listing, entries: Sequence[Entry], images: Sequence[NDArray[np.uint8]] | None
    ) -> None:
        self.part, self.entries = part, entries
        known = None if listing.classes is None else {name: label for label, name in enumerate(listing.classes)}
        self.labels = None if known is None else torch.tensor([known[entry.group or ""] for entry in entries])
        self.images = None if images is None else torch.from_numpy(np.stack(images))
        self.spec = DataSpec(
            channels=part.channels,
            height=part.height,
            width=part.width,
            num_classes=None if known is None else len(known),
            captions=listing.captions,
        )

    def __len__(self) -> int:
        return len(self.entries)

    def fetch(self, indices: Sequence[int]) -> Samples:
        if self.images is None:
            return self.fetch_at(indices, height=self.part.height, width=self.part.width)
        return self._samples(indices, self.images[torch.tensor(indices, dtype=torch.int64)])

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        """Files are read each time."""
        chosen = [self.entries[index] for index in indices]
        read = self.part.in_threads(lambda entry: self.part.read(entry, (height, width)), chosen)
        return self._samples(indices, torch.from_numpy(np.stack(read)))

    def sizes(self) -> list[tuple[int, int]]:
        return self.part.in_threads(lambda entry: size_of(entry.file), self.entries)

    def _samples(self, indices: Sequence[int], pixels: Tensor) -> Samples:
        chosen = [self.entries[index] for index in indices]
        rows = torch.tensor(indices, dtype=torch.int64)
        return Samples(
            images=pixels.float() / 127.5 - 1,
            labels=None if self.labels is None else self.labels[rows],
            captions=tuple(entry.caption or "" for entry in chosen) if self.spec.captions else None,
            extras={"file": tuple(str(entry.file) for entry in chosen)},
        )
