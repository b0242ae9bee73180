"""Images of many aspect ratios, in batches of one each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
from annotated_types import Ge, Gt, MinLen
from genever.slots import Data, Dataset, ResizableDataset, VerifiableDataset
from genever.training import derived_seed, indices_at
from genever.values import BatchShape, Samples
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from genever_plugins.data.aspect_ratios import bucket_sizes, errors
from genever_plugins.data.bucket_order import BucketOrder
from genever_plugins.data.constant_tokens import scaled_batch

__all__ = ["Bucketed", "Buckets"]

logger = logging.getLogger("genever")


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """Train on images at their own aspect ratios: a step draws one bucket, and every image of it is of the bucket's size.

    Buckets are all sizes of at most `max_area` whose sides are multiples of `multiple`, the largest of each kind. An image
    belongs to the one whose aspect is nearest, is resized to cover it, and cropped at its centre. Buckets are drawn in
    proportion to what they hold, and each is read in shuffled epochs of its own, without repetition. Batches of smaller
    buckets are larger, so that no step has more pixels than `train.batch_size` images of `max_area`.

    Images are sampled and evaluated at the size of `data`, by its validation split; whoever asks for no batches sees that.

    Args:
        data: images with sizes of their own. Its files are read anew for every batch: `train.fetch_ahead` helps.
        max_area: of a bucket in pixels. None = height times width of `data`.
        multiple: of pixels that both sides of a bucket are: of the codec's factor times the backbone's patch.
        min_side: of a bucket in pixels; so none is longer than max_area / min_side. None = `multiple`.
        sizes: (height, width) of the buckets, each of which some image has to be nearest to. None = all, as said above.
        max_error: largest |ln(aspect of an image / aspect of its bucket)|: cropping takes the share 1 - exp(-max_error) of
            the image. What is further off is left out, and reported. None = nothing is.
        batch_multiple: batches of smaller buckets are multiples of it, or of what it shares with `train.batch_size`;
            processes times micro-batches divide it.

    References:
        NovelAI, Aspect ratio bucketing, 2022. https://github.com/NovelAI/novelai-aspect-ratio-bucketing
    """

    provides: ClassVar[tuple[str, ...]] = ("data.* but resizable",)
    needs: ClassVar[tuple[str, ...]] = ("data.resizable", "backbone.any_size", "codec.any_size")

    data: Data
    max_area: Annotated[int, Ge(1)] | None = None
    multiple: Annotated[int, Ge(1)] = 64
    min_side: Annotated[int, Ge(1)] | None = None
    sizes: Annotated[Sequence[tuple[int, int]], MinLen(1)] | None = None
    max_error: Annotated[float, Gt(0)] | None = None
    batch_multiple: Annotated[int, Ge(1)] = 8

    def build(self, split: Literal["train", "validation"]) -> Dataset:
        dataset = self.data.build(split)
        if split == "validation":
            return dataset
        if not isinstance(dataset, ResizableDataset):
            raise ValueError(
                f"Buckets.data = {type(self.data).__name__} gives its images in one size alone. "
                "Name data that can resize them, such as data.ImageFolder."
            )
        return Bucketed(self, dataset)

    def buckets(self, height: int, width: int) -> list[tuple[int, int]]:
        """Their sizes, for data that is sampled at this one."""
        max_area = self.max_area or height * width
        if self.sizes is None:
            found = bucket_sizes(max_area, multiple=self.multiple, min_side=self.min_side or self.multiple)
            if not found:
                raise ValueError(
                    f"Buckets.multiple = {self.multiple} and Buckets.min_side = {self.min_side!r} leave no bucket of at "
                    f"most {max_area} pixels. Lower them, or raise Buckets.max_area."
                )
            return found
        for one in self.sizes:
            if min(one) < 1 or one[0] % self.multiple or one[1] % self.multiple or one[0] * one[1] > max_area:
                raise ValueError(
                    f"Buckets.sizes names {one[0]}x{one[1]}, whose sides are not multiples of Buckets.multiple = "
                    f"{self.multiple}, or which has more than {max_area} pixels. Change one of the three."
                )
        return list(dict.fromkeys((one[0], one[1]) for one in self.sizes))


class Bucketed:
    """`genever.slots.PlannedDataset`: behind the images at one size lie the same images, each at its bucket's.

    Attributes:
        sizes: (height, width) of the buckets that hold an image.
        members: the numbers of their images.
    """

    def __init__(self, part: Buckets, dataset: ResizableDataset) -> None:
        self.part, self.dataset, self.spec = part, dataset, dataset.spec
        self.sizes = part.buckets(self.spec.height, self.spec.width)
        apart = errors(dataset.sizes(), self.sizes)
        nearest = apart.argmin(1)
        kept = np.ones(len(dataset), bool) if part.max_error is None else apart.min(1) <= part.max_error
        self._report(kept, apart)
        self.members = [np.flatnonzero(kept & (nearest == bucket)).tolist() for bucket in range(len(self.sizes))]
        self._leave_out_empty()
        self.bucket_of = {image: bucket for bucket, images in enumerate(self.members) for image in images}

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, indices: Sequence[int]) -> Samples:
        num = len(self)
        if all(index < num for index in indices):
            return self.dataset.fetch(indices)
        images = [index - num for index in indices]
        (bucket,) = {self.bucket_of[image] for image in images}
        height, width = self.sizes[bucket]
        return self.dataset.fetch_at(images, height=height, width=width)

    def batches(self, batch_size: int) -> list[BatchShape]:
        numbers = self._batch_sizes(batch_size)
        return [
            BatchShape(num_samples=number, height=height, width=width)
            for number, (height, width) in zip(numbers, self.sizes, strict=True)
        ]

    def plan(self, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int) -> list[int]:
        numbers = self._batch_sizes(batch_size)
        order = BucketOrder(held=[len(images) for images in self.members], sizes=numbers)
        bucket, times = order.at(step, seed=seed, stream=stream)
        images, (height, width), number = self.members[bucket], self.sizes[bucket], numbers[bucket]
        own_seed = derived_seed(seed, "bucket", height, width)
        chosen = indices_at(len(images), own_seed, stream, times * number, (times + 1) * number)
        return [len(self) + images[index] for index in chosen]

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """What the data says, where it can."""
        return cast(VerifiableDataset, self.dataset).verify(images, samples)

    def _batch_sizes(self, batch_size: int) -> list[int]:
        whole = self.part.max_area or self.spec.height * self.spec.width
        return [
            scaled_batch(batch_size, area=height * width, whole_area=whole, multiple=self.part.batch_multiple)
            for height, width in self.sizes
        ]

    def _report(self, kept: NDArray[np.bool_], apart: NDArray[np.float64]) -> None:
        """Images whose aspect is too far from every bucket's are left out; all of them cannot be."""
        most = self.part.max_error
        if not kept.any():
            assert most is not None
            raise ValueError(
                f"Buckets.max_error = {most} leaves no image: the best of {len(kept)} is {apart.min():.3f} from its bucket. "
                "Raise it, or lower Buckets.multiple for more buckets."
            )
        if most is not None and not kept.all():
            logger.warning(
                "data.Buckets left out %d of %d images: their buckets would cut off more than %.0f %% of them",
                (~kept).sum(),
                len(kept),
                100 * (1 - exp(-most)),
            )

    def _leave_out_empty(self) -> None:
        """A bucket that nobody asked for by its size may be empty."""
        empty = [size for size, images in zip(self.sizes, self.members, strict=True) if not images]
        if empty and self.part.sizes is not None:
            raise ValueError(
                f"Buckets.sizes names {empty[0][0]}x{empty[0][1]}, which no image fits: all are nearer to another bucket, "
                "or too far from any. Leave it out."
            )
        self.sizes = [size for size in self.sizes if size not in empty]
        self.members = [images for images in self.members if images]
