"""Several images for one condition, of which some are better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, cast

import torch
from annotated_types import Ge
from genever.slots import Data, Dataset, VerifiableDataset
from genever.values import Samples
from jaxtyping import Float, Int
from torch import Tensor

from genever_plugins.data.unplanned import unplanned

__all__ = ["Candidates"]

#: Samples that are read together when the labels of all are asked for.
READ_AT_A_TIME = 1024


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Every sample of other data, with further images that might have been given for its label or caption.

    `Samples.candidates` [batch, num, channels, height, width] holds them, the sample's own image first. They are not
    ranked: whoever learns from preferences names a reward that ranks them. Which images stand beside sample i follows
    from (seed, split, i) alone.

    Args:
        data: the samples.
        num: candidates of each; 2 = pairs.
        others: where the further images come from: of the samples with the 'same label' (all are read once to know their
            labels), or of 'any' sample, most of which show something else than was asked for.
        seed: of the choice; not the stage's, so that all stages see the same.

    Raises:
        ValueError: 'same label' is asked of data without labels, or a label has fewer than `num` samples.
    """

    provides: ClassVar[tuple[str, ...]] = ("candidates", "data.* but ranked, resizable")
    needs: ClassVar[tuple[str, ...]] = ()

    data: Data
    num: Annotated[int, Ge(2)] = 2
    others: Literal["same label", "any"] = "same label"
    seed: Annotated[int, Ge(0)] = 0

    def build(self, split: Literal["train", "validation"]) -> Groups:
        dataset = unplanned(self.data.build(split), "data.Candidates.data")
        key = self.seed * 2 + ("train", "validation").index(split)
        beside = torch.stack([self._shuffled(dataset, key * self.num + number) for number in range(self.num - 1)], dim=1)
        return Groups(dataset, beside)

    def _shuffled(self, dataset: Dataset, seed: int) -> Int[Tensor, " num"]:
        """For each sample another one, each of them once, of the same label where that is asked."""
        generator, found = torch.Generator().manual_seed(seed), torch.arange(len(dataset))
        for members in self._alike(dataset):
            order = members[torch.randperm(len(members), generator=generator)]
            found[order] = order.roll(1)
        return found

    def _alike(self, dataset: Dataset) -> list[Int[Tensor, " some"]]:
        """The samples that may stand beside each other."""
        if self.others == "any":
            return [torch.arange(len(dataset))]
        labels = _labels(dataset)
        groups = [(labels == label).nonzero().flatten() for label in labels.unique()]
        if smallest := [len(group) for group in groups if len(group) < self.num]:
            raise ValueError(
                f"data.Candidates.num = {self.num}, but a label of its data has {min(smallest)} samples. "
                "Ask for fewer, or for others = 'any'."
            )
        return groups


class Groups:
    """`genever.slots.Dataset` of samples with candidates, also verifiable where they are."""

    def __init__(self, dataset: Dataset, beside: Int[Tensor, " num others"]) -> None:
        self.dataset = dataset
        self.beside = beside
        self.spec = dataset.spec

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, indices: Sequence[int]) -> Samples:
        chosen = torch.tensor(indices)
        samples = self.dataset.fetch(indices)
        others = [self.dataset.fetch(column.tolist()).images for column in self.beside[chosen].unbind(1)]
        return replace(samples, candidates=torch.stack([samples.images, *others], dim=1))

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """What the data says, where it can."""
        return cast(VerifiableDataset, self.dataset).verify(images, samples)


def _labels(dataset: Dataset) -> Int[Tensor, " num"]:
    if dataset.spec.num_classes is None:
        raise ValueError("data.Candidates.others = 'same label', but its data has no labels. Choose 'any'.")
    read = (
        dataset.fetch(range(first, min(first + READ_AT_A_TIME, len(dataset))))
        for first in range(0, len(dataset), READ_AT_A_TIME)
    )
    return torch.cat([samples.labels for samples in read if samples.labels is not None])
