"""Learning from the data's batches as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genever.training import Batch, Feed, Update
from torch import Tensor

__all__ = ["updates_on_batches"]


def updates_on_batches(data: Feed, losses: Callable[[Batch, dict[str, Tensor]], dict[str, Tensor]]) -> Iterator[Update]:
    """One optimizer step on a global batch: a gradient of each micro-batch.

    Args:
        losses: of a batch; notes in its second argument what is logged.
    """
    for part in range(data.accumulate):
        batch, seen = next(data), dict[str, Tensor]()
        yield Update(
            lambda batch=batch, seen=seen: losses(batch, seen),
            step=part == data.accumulate - 1,
            scale=1 / data.accumulate,
            report=lambda seen=seen: seen,
        )
