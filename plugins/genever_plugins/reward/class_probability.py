"""The probability of the class that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from genever.slots import ClassifierModule, Encoder, RewardModel
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["ClassProbability"]


@dataclass(frozen=True, kw_only=True)
class ClassProbability:
    """The probability, in [0, 1], that a classifier gives to the label that an image was asked for.

    Args:
        encoder: the classifier.
    """

    provides: ClassVar[tuple[str, ...]] = ("differentiable",)
    needs: ClassVar[tuple[str, ...]] = ("data.labels", "encoder.classifier")

    encoder: Encoder

    def build(self, composition: Composition) -> RewardModel:
        module = composition.build_seeded("reward", lambda: self.encoder.build(composition, (1, 1)))
        return Probability(cast(ClassifierModule, module.requires_grad_(False).eval()))


@dataclass(frozen=True)
class Probability:
    """`genever.slots.RewardModel` around a classifier."""

    classifier: ClassifierModule

    def __call__(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        assert samples.labels is not None
        probabilities = torch.softmax(self.classifier.logits(images).float(), dim=1)
        return probabilities.gather(1, samples.labels.to(images.device).unsqueeze(1)).squeeze(1)
