"""What data that plans its own batches asks of the rest of a stage, and of the processes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from math import gcd
from typing import Any

import torch

from genever.slots import Dataset, PlannedDataset
from genever.training._stage import Stage
from genever.training._world import World
from genever.values import BatchShape, ConditionSpec

__all__ = ["batches_of", "check_plan", "sizes_of"]


def batches_of(dataset: Dataset, batch_size: int) -> Collection[BatchShape]:
    """Every kind of batch that steps may see, where a stage asks for `batch_size`."""
    if isinstance(dataset, PlannedDataset):
        return dataset.batches(batch_size)
    return [BatchShape(num_samples=batch_size, height=dataset.spec.height, width=dataset.spec.width)]


def sizes_of(dataset: Dataset, batch_size: int) -> list[tuple[int, int]]:
    """Height and width of the images that steps may see; those of one step are alike."""
    return sorted({(shape.height, shape.width) for shape in batches_of(dataset, batch_size)})


def check_plan(stage: Stage, dataset: Dataset, condition: ConditionSpec, world: World) -> None:
    """Whether every batch that data plans can be split, and every size of image be trained on.

    Raises:
        ValueError: a batch cannot be split evenly, or codec or backbone refuse a size.
    """
    _check_split(stage, batches_of(dataset, stage.batch_size), world)
    sizes = sizes_of(dataset, stage.batch_size)
    if sizes != [(dataset.spec.height, dataset.spec.width)]:
        _check_sizes(stage, dataset, condition, sizes)


def _check_split(stage: Stage, shapes: Collection[BatchShape], world: World) -> None:
    unit = stage.accumulate * world.size
    for shape in shapes:
        if shape.num_samples % unit:
            raise ValueError(
                f"train.data = {type(stage.data).__name__} plans batches of {shape.num_samples} images of "
                f"{shape.height}x{shape.width} pixels, which train.accumulate = {stage.accumulate} parts on {world.size} "
                f"processes do not divide. Let it make batches that are multiples of {unit}."
            )


def _check_sizes(stage: Stage, dataset: Dataset, condition: ConditionSpec, sizes: list[tuple[int, int]]) -> None:
    parts: dict[str, Any] = {"codec": stage.codec, "backbone": stage.backbone}
    for slot, part in parts.items():
        if "any_size" not in getattr(part, "provides", ()):
            raise ValueError(
                f"train.data = {type(stage.data).__name__} has images of {len(sizes)} sizes, but train.{slot} = "
                f"{type(part).__name__} is built for one. Choose a {slot} that provides 'any_size', or data of one size."
            )
    if condition.image_channels is not None:
        raise ValueError(
            f"train.data = {type(stage.data).__name__} has images of {len(sizes)} sizes, but train.conditioner = "
            f"{type(stage.conditioner).__name__} shows an image of one. Choose data of one size, or another conditioner."
        )
    # What divides every side divides their greatest divisor: in the good case one look is enough.
    smallest = gcd(*(height for height, _ in sizes)), gcd(*(width for _, width in sizes))
    if not _fits(stage, dataset, condition, smallest):
        for size in sizes:
            _build(stage, dataset, condition, size)


def _fits(stage: Stage, dataset: Dataset, condition: ConditionSpec, size: tuple[int, int]) -> bool:
    try:
        _build(stage, dataset, condition, size)
    except ValueError:
        return False
    return True


def _build(stage: Stage, dataset: Dataset, condition: ConditionSpec, size: tuple[int, int]) -> None:
    """Builds codec and backbone for a size of image, without their memory."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        codec: Any = stage.codec.build(replace(dataset.spec, height=size[0], width=size[1]))
        stage.backbone.build(codec.latent, condition)
