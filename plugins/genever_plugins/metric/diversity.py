"""How different the samples of one condition are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Encoder, Measures
from genever.training import Evaluation, named, sample, sampling
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.metric.judge import features, judge

__all__ = ["Diversity", "mean_pairwise_distance"]


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """The mean distance "diversity" between two samples of one condition: 0 = every noise gives the same image.

    The distance is the root mean square over pixels, in [0, 2], or over an encoder's features. It makes samples of its
    own: the first conditions of the validation split, each several times.

    Args:
        encoder: whose features of whole images are compared. None = pixels.
        num_conditions: conditions, the first ones of the validation split.
        num_images: samples of each.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"diversity": "higher"}

    encoder: Encoder | None = None
    num_conditions: Annotated[int, Ge(1)] = 16
    num_images: Annotated[int, Ge(2)] = 16

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        seen = self._seen(self._generated(evaluation).images, evaluation)
        groups = seen.view(-1, self.num_images, seen.shape[1])
        return {"diversity": mean_pairwise_distance(groups).mean().item()}

    def protocol(self, evaluation: Evaluation) -> str:
        eyes = "pixels" if self.encoder is None else f"features of {named(self.encoder)}"
        made = sampling(replace(evaluation, num_samples=self.num_conditions * self.num_images))
        return f"{made}, {self.num_images} of each of {self.num_conditions} conditions, in {eyes}"

    def _generated(self, evaluation: Evaluation) -> Samples:
        dataset = evaluation.composition.validation
        num = self.num_conditions * self.num_images
        return sample(
            evaluation.composition,
            evaluation.model,
            range(num),
            solver=evaluation.solver,
            guidance=evaluation.guidance,
            batch_size=evaluation.batch_size,
            wanted=dataset.fetch([number // self.num_images % len(dataset) for number in range(num)]),
        )

    def _seen(self, images: Tensor, evaluation: Evaluation) -> Float[Tensor, " num features"]:
        if self.encoder is None:
            return images.flatten(1).double()
        return features(judge(self.encoder, evaluation.composition), images, evaluation.device)


def mean_pairwise_distance(groups: Float[Tensor, " groups size width"]) -> Float[Tensor, " groups"]:
    """The mean over all pairs of different members of each group."""
    size, width = groups.shape[1:]
    return torch.cdist(groups, groups, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2)) / (
        size * (size - 1) * width**0.5
    )
