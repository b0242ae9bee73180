"""How often a reward model prefers what is better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from genever.slots import Measures, Reward
from genever.training import Composition, Evaluation, Scorer, named
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["PairAccuracy", "agreement"]

#: Images that are scored together.
BATCH_SIZE = 250


@dataclass(frozen=True, kw_only=True)
class PairAccuracy:
    """The share "pair_accuracy" of pairs of held-out candidates whose better one the trained scorer puts first.

    All pairs of each sample's candidates count; equal ones, in utility or in score, count half, so that chance is 0.5. With
    rankings it is (1 + Kendall's τ) / 2. "best_accuracy" is the share of samples whose best candidate scores highest. It
    judges a stage of aligner.BradleyTerry or aligner.PlackettLuce, not what a model generates.

    Args:
        utility: ranks the candidates. None = the data has ranked them, the best first.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("aligner.scorer", "data.candidates", "data.ranked|self.utility")
    measures: ClassVar[Measures] = {"pair_accuracy": "higher", "best_accuracy": "higher"}

    utility: Reward | None = None

    @torch.no_grad()
    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        samples, composition = evaluation.real(), evaluation.composition
        assert samples.candidates is not None
        scorer = Scorer(model=evaluation.model, composition=composition)
        found = list[tuple[Tensor, Tensor]]()
        size = max(1, BATCH_SIZE // samples.candidates.shape[1])
        for first in range(0, len(samples), size):
            images = samples.candidates[first : first + size].to(evaluation.device)
            found.append(self._judged(samples.rows(slice(first, first + size)), images, scorer, composition))
        scores, utilities = (torch.cat(ones) for ones in zip(*found, strict=True))
        best = utilities.gather(1, scores.argmax(1, keepdim=True)).squeeze(1) == utilities.amax(1)
        return {"pair_accuracy": agreement(scores, utilities).item(), "best_accuracy": best.double().mean().item()}

    def protocol(self, evaluation: Evaluation) -> str:
        num = min(evaluation.num_samples, len(evaluation.composition.validation))
        return f"candidates of {num:,} held-out samples, ranked by {named(self.utility) if self.utility else 'the data'}"

    def _judged(self, samples: Samples, images: Tensor, scorer: Scorer, composition: Composition) -> tuple[Tensor, Tensor]:
        """Scores and utilities [batch, num] of the candidates of some samples."""
        one_each = [replace(samples, images=column, candidates=None) for column in images.unbind(1)]
        scores = torch.stack([scorer(one.images, one) for one in one_each], dim=1)
        part = self.utility
        if part is None:
            return scores, -torch.arange(scores.shape[1], device=scores.device).float().expand_as(scores)
        utility = composition.once(part, "built", lambda: part.build(composition))
        return scores, torch.stack([utility(one.images, one) for one in one_each], dim=1)


def agreement(scores: Float[Tensor, " batch num"], utilities: Float[Tensor, " batch num"]) -> Float[Tensor, ""]:
    """The share of pairs that two numbers put in the same order; equal ones in either count half."""
    i, j = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1, device=scores.device)
    signs = [(values[:, i] - values[:, j]).sign().double() for values in (scores, utilities)]
    return (1 + (signs[0] * signs[1]).mean()) / 2
