"""Whether samples show what their captions say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from genever.slots import VerifiableDataset
from genever.training import Evaluation

__all__ = ["VerifiedCaptions"]


@dataclass(frozen=True, kw_only=True)
class VerifiedCaptions:
    """The share "verified_captions" of samples that show all of their caption and nothing else, as the data verifies it.

    "caption_score" is the mean share of its caption that a sample shows: it moves long before the first does.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.verifiable",)
    measures: ClassVar[tuple[str, ...]] = ("verified_captions", "caption_score")

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        dataset = cast(VerifiableDataset, evaluation.composition.validation)
        made = evaluation.generated()
        scores = dataset.verify(made.images, made)
        return {
            "verified_captions": (scores == 1).float().mean().item(),
            "caption_score": scores.float().mean().item(),
        }
