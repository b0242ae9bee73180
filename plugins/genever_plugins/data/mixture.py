"""Several data, mixed in shares that may change over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import isfinite
from typing import Annotated, ClassVar, Literal, cast

import torch
from annotated_types import Ge, MinLen
from genever.slots import Data, Dataset, VerifiableDataset
from genever.training import derived_seed, indices_at
from genever.values import BatchShape, DataSpec, Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.data.quotas import Quotas, shares
from genever_plugins.data.unplanned import unplanned

__all__ = ["Mixed", "Mixture"]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Several data in one batch, each with its share: new images among old ones, short captions before long ones.

    A step holds of each part its share to within one image, and no part falls behind: after any number of steps it has
    given the sum of its shares, rounded. Each part is read in shuffled epochs of its own, without repetition.

    Whoever asks for no batches sees the first part alone: samples and metrics are asked for by its validation split, and
    compare with its images. A metric's own `data` measures on the others. `Samples.extras["part"]` tells where a sample is
    from.

    Args:
        parts: the data, by names of your choice. They agree in size and channels; there are labels, or captions, where all
            of them have some, and then as many classes.
        weights: of each part; its share is its weight over the sum of all.
        end_weights: what the shares come to, in a line from those of `weights`. None = they never change.
        start_step: where they begin to change.
        end_step: where they are those of `end_weights`. None = at the end of training.

    References:
        Webster's method, by which places are shared out: Balinski and Young, Fair Representation, 1982.
    """

    provides: ClassVar[tuple[str, ...]] = ("parts.* but resizable",)
    needs: ClassVar[tuple[str, ...]] = ()

    parts: Annotated[Mapping[str, Data], MinLen(1)]
    weights: Mapping[str, Annotated[float, Ge(0)]]
    end_weights: Mapping[str, Annotated[float, Ge(0)]] | None = None
    start_step: Annotated[int, Ge(0)] = 0
    end_step: Annotated[int, Ge(0)] | None = None

    def __post_init__(self) -> None:
        self._check("weights", self.weights)
        if self.end_weights is not None:
            self._check("end_weights", self.end_weights)
        if self.end_step is not None and self.end_step < self.start_step:
            raise ValueError(
                f"Mixture.end_step = {self.end_step} comes before Mixture.start_step = {self.start_step}. Exchange them."
            )

    def _check(self, name: str, weights: Mapping[str, float]) -> None:
        if weights.keys() != self.parts.keys():
            raise ValueError(
                f"Mixture.{name} names {sorted(weights)}, but Mixture.parts are {sorted(self.parts)}. "
                "Give each part one weight; 0 = none of it."
            )
        if not all(isfinite(weight) and weight >= 0 for weight in weights.values()) or not any(weights.values()):
            raise ValueError(
                f"Mixture.{name} = {dict(weights)!r} are not shares of anything. Use numbers of which none is negative and "
                "at least one is positive."
            )

    def build(self, split: Literal["train", "validation"]) -> Dataset:
        first = next(iter(self.parts.values()))
        return first.build(split) if split == "validation" else Mixed(self)


class Mixed:
    """`genever.slots.PlannedDataset`, also verifiable where its parts are; the first part's indices come first."""

    def __init__(self, part: Mixture) -> None:
        self.part = part
        self.datasets = {
            name: unplanned(data.build("train"), f"Mixture.parts[{name!r}]") for name, data in part.parts.items()
        }
        self.spec = _common_spec(self.datasets)
        ends = accumulate(map(len, self.datasets.values()), initial=0)
        self.offsets = dict(zip(self.datasets, ends, strict=False))

    def __len__(self) -> int:
        return len(next(iter(self.datasets.values())))

    def fetch(self, indices: Sequence[int]) -> Samples:
        owners = [self._owner(index) for index in indices]
        found = list[tuple[list[int], Samples]]()
        for name, dataset in self.datasets.items():
            places = [place for place, owner in enumerate(owners) if owner == name]
            if places:
                found.append((places, dataset.fetch([indices[place] - self.offsets[name] for place in places])))
        return self._shown(_woven(found, owners))

    def _shown(self, samples: Samples) -> Samples:
        """Samples with what all parts have, whatever parts they are from."""
        return replace(
            samples,
            labels=None if self.spec.num_classes is None else samples.labels,
            captions=samples.captions if self.spec.captions else None,
        )

    def batches(self, batch_size: int) -> list[BatchShape]:
        return [BatchShape(num_samples=batch_size, height=self.spec.height, width=self.spec.width)]

    def plan(self, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int) -> list[int]:
        quotas = self._quotas(num_steps, batch_size)
        before, after = quotas.taken(step * batch_size), quotas.taken((step + 1) * batch_size)
        indices = list[int]()
        for number, (name, dataset) in enumerate(self.datasets.items()):
            own_seed = derived_seed(seed, "part", number)
            mine = indices_at(len(dataset), own_seed, stream, before[number], after[number])
            indices += [self.offsets[name] + index for index in mine]
        # Mixed, so that every process and every micro-batch has something of each.
        generator = torch.Generator().manual_seed(derived_seed(seed, "places", stream, step))
        return [indices[place] for place in torch.randperm(batch_size, generator=generator).tolist()]

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """What the part says that each sample is from; samples that do not tell are of the first."""
        scores = torch.empty(len(images))
        owners = samples.extras.get("part") or (next(iter(self.datasets)),) * len(images)
        for name in set(owners):
            places = [place for place, owner in enumerate(owners) if owner == name]
            dataset = cast(VerifiableDataset, self.datasets[name])
            scores[places] = dataset.verify(images[places], samples.rows(places)).float().cpu()
        return scores

    def _quotas(self, num_steps: int, batch_size: int) -> Quotas:
        part = self.part
        start = shares([part.weights[name] for name in part.parts])
        end = start if part.end_weights is None else shares([part.end_weights[name] for name in part.parts])
        last = num_steps if part.end_step is None else part.end_step
        return Quotas(
            start=start, end=end, first_step=part.start_step, last_step=max(last, part.start_step), batch_size=batch_size
        )

    def _owner(self, index: int) -> str:
        return next(name for name in reversed(self.datasets) if index >= self.offsets[name])


def _common_spec(datasets: Mapping[str, Dataset]) -> DataSpec:
    """What all parts have. Raises ValueError where they are not of one size, or of other classes."""
    (first, one), *others = datasets.items()
    for name, other in others:
        if not _go_together(one.spec, other.spec):
            raise ValueError(
                f"Mixture.parts[{name!r}] holds {other.spec.described}, but Mixture.parts[{first!r}] holds "
                f"{one.spec.described}. Mix data of one kind."
            )
    specs = [dataset.spec for dataset in datasets.values()]
    classes = None if any(spec.num_classes is None for spec in specs) else one.spec.num_classes
    return replace(one.spec, num_classes=classes, captions=all(spec.captions for spec in specs))


def _go_together(one: DataSpec, other: DataSpec) -> bool:
    sizes = {(spec.channels, spec.height, spec.width) for spec in (one, other)}
    classes = {spec.num_classes for spec in (one, other)} - {None}
    return len(sizes) == 1 and len(classes) <= 1


def _woven(found: Sequence[tuple[list[int], Samples]], owners: Sequence[str]) -> Samples:
    """Samples of several parts, each in its places."""
    order = torch.tensor([place for places, _ in found for place in places]).argsort()
    woven = _joined([samples for _, samples in found]).rows(order.tolist())
    return replace(woven, extras={**woven.extras, "part": tuple(owners)})


def _joined(found: Sequence[Samples]) -> Samples:
    """Samples one after another, with what is known of all of them."""
    known = [key for key in found[0].extras if all(key in samples.extras for samples in found)]
    return Samples(
        images=torch.cat([samples.images for samples in found]),
        labels=_cat([samples.labels for samples in found]),
        captions=None if any(samples.captions is None for samples in found) else _captions(found),
        candidates=_cat([samples.candidates for samples in found]),
        extras={key: tuple(value for samples in found for value in samples.extras[key]) for key in known},
    )


def _captions(found: Sequence[Samples]) -> tuple[str, ...]:
    return tuple(caption for samples in found for caption in samples.captions or ())


def _cat(tensors: Sequence[Tensor | None]) -> Tensor | None:
    there = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(there) if len(there) == len(tensors) else None
