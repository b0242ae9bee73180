"""Whether samples show what their captions say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from genever.slots import Data, Measures, VerifiableDataset
from genever.training import Evaluation, named, sampling

__all__ = ["VerifiedCaptions"]


@dataclass(frozen=True, kw_only=True)
class VerifiedCaptions:
    """The share "verified_captions" of samples that show all of their caption and nothing else, as the data verifies it.

    "caption_score" is the mean share of its caption that a sample shows: it moves long before the first does.

    Args:
        data: whose captions are asked for, and who verifies them. None = the stage's. Name other data to learn what a model
            that was tuned on little has forgotten.
        prefix: of both names, where a stage measures this twice.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.verifiable",)
    measures: ClassVar[Measures] = {"{prefix}verified_captions": "higher", "{prefix}caption_score": "higher"}

    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        evaluation = evaluation.on(self.data)
        dataset = cast(VerifiableDataset, evaluation.composition.validation)
        made = evaluation.generated()
        scores = dataset.verify(made.images, made)
        return {
            f"{self.prefix}verified_captions": (scores == 1).float().mean().item(),
            f"{self.prefix}caption_score": scores.float().mean().item(),
        }

    def protocol(self, evaluation: Evaluation) -> str:
        data = self.data or evaluation.composition.stage.data
        return f"{sampling(evaluation)}, verified by {named(data)}"
