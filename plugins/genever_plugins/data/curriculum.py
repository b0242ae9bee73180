"""One data after another over a training: small images before large ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, cast

from annotated_types import Ge, Interval, MinLen
from genever.slots import Data, Dataset, VerifiableDataset
from genever.training import batches_of, derived_seed, planned_indices
from genever.values import BatchShape, DataSpec, Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.data.constant_tokens import scaled_batch

__all__ = ["Curriculum", "Lessons"]

#: Indices of a lesson follow those of the one before at this distance: more than anybody has samples.
FURTHER = 2**40


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Read one data after another, each from a share of the training on: small images first, or plain ones.

    The last one is the stage's data: images of its size are sampled and evaluated, and whoever asks for no batches sees it
    alone. The others may be of other sizes, and agree in channels, classes and captions. Each is read as it would be read
    alone, so a part may itself plan its batches (data.Buckets, data.Mixture). Where all are of one size, data.Mixture with
    weights that change does the same on any backbone.

    Args:
        stages: the data, in their order.
        starts: the share of the training, in [0, 1), from which each is read; the first is 0.
        constant_tokens: smaller images come in larger batches, of as many pixels as `train.batch_size` of the last stage's
            images. False = `train.batch_size` of each.
        batch_multiple: batches of other sizes are multiples of it, or of what it shares with `train.batch_size`; processes
            times micro-batches divide it.

    References:
        Chen et al., PixArt-α: Fast training of diffusion transformer for photorealistic text-to-image synthesis, 2023.
            arXiv:2310.00426
    """

    provides: ClassVar[tuple[str, ...]] = ("stages.* but resizable",)
    needs: ClassVar[tuple[str, ...]] = ("backbone.any_size", "codec.any_size")

    stages: Annotated[Sequence[Data], MinLen(1)]
    starts: Annotated[Sequence[Annotated[float, Interval(ge=0, lt=1)]], MinLen(1)]
    constant_tokens: bool = True
    batch_multiple: Annotated[int, Ge(1)] = 8

    def __post_init__(self) -> None:
        starts = list(self.starts)
        if len(starts) != len(self.stages) or starts != sorted(set(starts)) or starts[:1] != [0] or starts[-1] >= 1:
            raise ValueError(
                f"Curriculum.starts = {starts!r} do not say when the {len(self.stages)} of Curriculum.stages begin. Give "
                "one share of the training for each, rising from 0 and below 1."
            )

    def build(self, split: Literal["train", "validation"]) -> Dataset:
        return self.stages[-1].build(split) if split == "validation" else Lessons(self)


class Lessons:
    """`genever.slots.PlannedDataset`; indices of the last stage come first. Verifiable where its stages are."""

    def __init__(self, part: Curriculum) -> None:
        self.part = part
        self.datasets = [data.build("train") for data in part.stages]
        self.spec = self.datasets[-1].spec
        for number, dataset in enumerate(self.datasets):
            if _kind(dataset.spec) != _kind(self.spec):
                raise ValueError(
                    f"Curriculum.stages[{number}] holds {dataset.spec.described}, but the last holds {self.spec.described}. "
                    "They may differ in size alone."
                )

    def __len__(self) -> int:
        return len(self.datasets[-1])

    def fetch(self, indices: Sequence[int]) -> Samples:
        (number,) = {index // FURTHER for index in indices}
        # Number 0 is the last stage, for which Python's own list[-1] is.
        return self.datasets[number - 1].fetch([index % FURTHER for index in indices])

    def batches(self, batch_size: int) -> list[BatchShape]:
        return [
            shape for dataset in self.datasets for shape in batches_of(dataset, self._batch_size(dataset.spec, batch_size))
        ]

    def plan(self, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int) -> list[int]:
        firsts = [first_step(share, num_steps) for share in self.part.starts]
        number = max(n for n, first in enumerate(firsts) if first <= min(step, num_steps - 1))
        dataset, end = self.datasets[number], [*firsts, num_steps][number + 1]
        indices = planned_indices(
            dataset,
            step - firsts[number],
            num_steps=end - firsts[number],
            batch_size=self._batch_size(dataset.spec, batch_size),
            seed=derived_seed(seed, "stage", number),
            stream=stream,
        )
        offset = (number + 1) % len(self.datasets) * FURTHER
        return [offset + index for index in indices]

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """What the last stage says: samples are of its size."""
        return cast(VerifiableDataset, self.datasets[-1]).verify(images, samples)

    def _batch_size(self, spec: DataSpec, batch_size: int) -> int:
        if not self.part.constant_tokens:
            return batch_size
        return scaled_batch(
            batch_size,
            area=spec.height * spec.width,
            whole_area=self.spec.height * self.spec.width,
            multiple=self.part.batch_multiple,
        )


def first_step(share: float, num_steps: int) -> int:
    """The step that a share of the training has come to; what rounding took from a whole number is given back."""
    return int(share * num_steps + 1e-6)


def _kind(spec: DataSpec) -> DataSpec:
    """A spec without its size."""
    return replace(spec, height=1, width=1)
