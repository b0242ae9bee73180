"""Whether an image shows what its caption says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from genever.slots import RewardModel, VerifiableDataset
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["VerifiedCaption"]


@dataclass(frozen=True, kw_only=True)
class VerifiedCaption:
    """1 where an image shows all of its caption and nothing else, as the data verifies it.

    Args:
        graded: True = otherwise the share of the caption that it shows; False = otherwise 0.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.verifiable",)

    graded: bool = False

    def build(self, composition: Composition) -> RewardModel:
        return Verdict(cast(VerifiableDataset, composition.data), self.graded)


@dataclass(frozen=True)
class Verdict:
    """`genever.slots.RewardModel` around what a dataset can tell."""

    dataset: VerifiableDataset
    graded: bool

    def __call__(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        scores = self.dataset.verify(images.detach().cpu(), samples).float()
        return (scores if self.graded else (scores == 1).float()).to(images.device)
