"""Classifier guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Le
from genever.slots import ClassifierModule, Encoder, Guidance
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.guidance._composed import Composed
from genever_plugins.guidance._labels import labels_of
from genever_plugins.guidance._slope import Uphill

__all__ = ["ClassifierGuidance"]


@dataclass(frozen=True, kw_only=True)
class ClassifierGuidance(Composed):
    """Towards images that a classifier is surer of: score + scale · grad log p(y | x_t).

    On the straight path that adds scale (1 - t) / t · grad log p(y | x_t) to the velocity. The classifier has seen clean
    images only, so p(y | x_t) is taken as p(y | x̂_1(x_t)), at the model's estimate of the data, decoded; the gradient goes
    through the model, and a step costs about three times as much. The estimate is not the data: early, where it is a mean
    of many images, the classifier judges what it has never seen.

    Args:
        encoder: the classifier.
        scale: 0 = disable.
        start: guide from this t on (0 = noise).
        stop: guide up to this t (1 = data).
        guidance: gives the output that is changed, such as guidance.CFG. None = the conditional one.

    References:
        Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021, section 4. arXiv:2105.05233
        Chung et al., Diffusion Posterior Sampling for General Noisy Inverse Problems, 2023 (at the estimate of the data).
            arXiv:2209.14687
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.labels", "encoder.classifier", "encoder.differentiable", "loss.gaussian")

    encoder: Encoder
    scale: Annotated[float, Ge(0)] = 1.0
    start: Annotated[float, Ge(0), Le(1)] = 0.0
    stop: Annotated[float, Ge(0), Le(1)] = 1.0
    guidance: Guidance | None = None

    def build(self, composition: Composition) -> Guidance:
        if composition.conditioner.spec.num_classes is None:
            raise ValueError(
                "guidance.ClassifierGuidance guides towards the label that is asked for, but this stage's conditioner reads "
                "none. Use conditioner.Classes, or guidance.RewardGuidance."
            )
        built = composition.once(
            self, "classifier", lambda: composition.build_seeded("guide", lambda: self.encoder.build(composition, (1, 1)))
        )
        classifier, codec = cast(ClassifierModule, built.requires_grad_(False).eval()), composition.codec

        def height(x_1: Tensor, cond: Tensor, samples: Samples | None) -> Float[Tensor, " batch"]:
            labels, asked = labels_of(composition, cond)
            found = torch.log_softmax(classifier.logits(codec.decode(x_1)).float(), 1)
            return torch.where(asked, found.gather(1, labels.unsqueeze(1)).squeeze(1), 0.0)

        inner = None if self.guidance is None else composition.build_guidance(self.guidance)
        return Uphill(part=self, loss=composition.loss, height=height, inner=inner)
