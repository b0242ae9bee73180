"""Batches of images of any size that are about as much work."""

from __future__ import annotations

from math import gcd

__all__ = ["scaled_batch"]


def scaled_batch(batch_size: int, *, area: int, whole_area: int, multiple: int) -> int:
    """How many images of `area` are as many pixels as `batch_size` of `whole_area`: not more, where that can be.

    It is a multiple of the greatest divisor that `batch_size` and `multiple` share, and so `batch_size` itself where the
    areas are the same. It does not depend on the number of processes: any number sees the same batches.
    """
    unit = gcd(batch_size, multiple)
    return max(batch_size * whole_area // (area * unit) * unit, unit)
