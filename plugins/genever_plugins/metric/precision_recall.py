"""How much of what is generated is real, and how much of what is real is generated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Data, Encoder, Measures
from genever.training import Evaluation
from jaxtyping import Bool, Float
from torch import Tensor

from genever_plugins.metric.judge import compared, made_features, real_features

__all__ = ["PrecisionRecall", "covered", "neighbour_distances"]

#: Rows of distances that are held at a time.
BATCH_SIZE = 1000


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """The shares "precision" of generated images that look real and "recall" of real ones that are generated, in [0, 1].

    Each image of a set stands for a ball in the features of an encoder, as far as its k-th nearest neighbour in that set.
    Precision is the share of generated images in any ball of the real set, recall the share of real images in any ball of
    the generated set. Both depend on the number of images: compare only runs with the same numbers.

    Args:
        encoder: whose features of whole images are compared.
        neighbours: k; an image is no neighbour of itself.
        num_real: at most so many real images of each split, the first ones.
        data: whose labels or captions are asked for, and whose images are the real ones. None = the stage's.
        prefix: of both names, where a stage measures this twice.

    References:
        Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, 2019, eq. (1), (2).
            arXiv:1904.06991
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"{prefix}precision": "higher", "{prefix}recall": "higher"}

    encoder: Encoder
    neighbours: Annotated[int, Ge(1)] = 3
    num_real: Annotated[int, Ge(2)] = 10000
    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        evaluation = evaluation.on(self.data)
        real = real_features(self.encoder, evaluation.composition, self.num_real)
        made = made_features(self.encoder, evaluation)
        self._check(len(made), len(real))
        precision, recall = (covered(a, b, self.neighbours).double().mean().item() for a, b in ((made, real), (real, made)))
        return {f"{self.prefix}precision": precision, f"{self.prefix}recall": recall}

    def protocol(self, evaluation: Evaluation) -> str:
        text = compared(self.encoder, evaluation.on(self.data), self.num_real)
        return f"{text}, {self.neighbours} nearest neighbours"

    def _check(self, num_made: int, num_real: int) -> None:
        if min(num_made, num_real) <= self.neighbours:
            raise ValueError(
                f"metric.PrecisionRecall.neighbours = {self.neighbours}, but there are {num_made} generated and {num_real} "
                f"real images. Set train.evaluate_samples to {self.neighbours + 1} or more, or take fewer neighbours."
            )


def covered(
    points: Float[Tensor, " num width"], support: Float[Tensor, " other width"], neighbours: int
) -> Bool[Tensor, " num"]:
    """Whether each point lies in the ball of any point of a support."""
    radius = neighbour_distances(support, neighbours)
    return torch.cat([(torch.cdist(rows, support) <= radius).any(1) for rows in points.split(BATCH_SIZE)])  # eq. (1)


def neighbour_distances(points: Float[Tensor, " num width"], neighbours: int) -> Float[Tensor, " num"]:
    """How far the k-th nearest other point is from each."""
    # A point is the nearest to itself.
    found = [torch.cdist(rows, points).kthvalue(neighbours + 1, dim=1).values for rows in points.split(BATCH_SIZE)]
    return torch.cat(found)
