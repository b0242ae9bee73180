"""Sizes of about one area and many aspect ratios, and which of them an image is nearest to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bucket_sizes", "errors"]


def bucket_sizes(max_area: int, *, multiple: int, min_side: int) -> list[tuple[int, int]]:
    """(height, width) of every bucket, from tall to wide.

    Sides are multiples of `multiple`, none below `min_side`, of at most `max_area` pixels. Of these the largest: neither
    side could be longer.
    """
    first = -(-min_side // multiple) * multiple
    sides = range(first, max_area // first + 1, multiple)
    longest = {side: max_area // side // multiple * multiple for side in sides}
    return sorted(((longest[width], width) for width in sides if longest[longest[width]] == width), reverse=True)


def errors(images: Sequence[tuple[int, int]], buckets: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """|ln(aspect of the image / aspect of the bucket)| of each image [images] and bucket [buckets].

    Resized to cover the bucket and cropped, an image loses the share 1 - exp(-error).
    """
    image, bucket = (np.log(np.asarray(sizes, dtype=np.float64)) @ np.array([-1.0, 1.0]) for sizes in (images, buckets))
    return np.abs(image[:, None] - bucket[None, :])
