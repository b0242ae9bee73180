"""Which bucket a step draws, and from where in it: in proportion to what the buckets hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from genever.training import derived_seed

__all__ = ["BucketOrder"]


@dataclass(frozen=True, kw_only=True)
class BucketOrder:
    """Epochs in which every bucket is drawn as often as it holds batches, in shuffled order.

    A bucket of n images in batches of B holds n / B batches. As that is no whole number, it has been drawn
    round(e · n / B) times after e epochs: no image falls behind by more than a batch, and there are no left-overs to mix.

    Args:
        held: images of each bucket.
        sizes: samples of a batch from it.
    """

    held: Sequence[int]
    sizes: Sequence[int]

    def at(self, step: int, *, seed: int, stream: int) -> tuple[int, int]:
        """The bucket that a step draws, and how often it was drawn before."""
        epoch = self._epoch(step)
        before, after = self.drawn(epoch), self.drawn(epoch + 1)
        place = step - sum(before)
        times = torch.tensor(after) - torch.tensor(before)
        generator = torch.Generator().manual_seed(derived_seed(seed, "buckets", stream, epoch))
        order = torch.arange(len(times)).repeat_interleave(times)
        order = order[torch.randperm(len(order), generator=generator)]
        bucket = int(order[place])
        return bucket, before[bucket] + int((order[:place] == bucket).sum())

    def drawn(self, epoch: int) -> list[int]:
        """How often each bucket was drawn in the epochs before this one."""
        return [(2 * epoch * held + size) // (2 * size) for held, size in zip(self.held, self.sizes, strict=True)]

    def _epoch(self, step: int) -> int:
        """The last epoch that begins at this step or before."""
        steps = sum((Fraction(held, size) for held, size in zip(self.held, self.sizes, strict=True)), Fraction(0))
        last = (step + 1 + len(self.held)) // steps + 1  # Epochs are shorter than that by at most half a step a bucket.
        return bisect_right(range(int(last) + 1), step, key=lambda epoch: sum(self.drawn(epoch))) - 1
