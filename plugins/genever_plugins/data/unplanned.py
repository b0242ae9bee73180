"""Data that parts may read sample by sample, because it plans no batches."""

from __future__ import annotations

from genever.slots import Dataset, PlannedDataset

__all__ = ["unplanned"]


def unplanned(dataset: Dataset, name: str) -> Dataset:
    """The same dataset; `name` is the parameter to blame where it plans its own batches, as those would be lost.

    Raises:
        ValueError: it plans batches.
    """
    if isinstance(dataset, PlannedDataset):
        raise ValueError(
            f"{name} plans its own batches ({type(dataset).__name__}), which would be lost here. Name the data that it "
            "reads, and it around this."
        )
    return dataset
