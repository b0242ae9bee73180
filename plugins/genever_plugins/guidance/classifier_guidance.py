"""Classifier guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Le
from genever.slots import ClassifierModule, CodecModule, Encoder, Guidance
from genever.training import Composition, LabelReader, named
from genever.values import RunName
from jaxtyping import Float
from torch import Tensor

from genever_plugins.guidance._composed import Composed
from genever_plugins.guidance._labels import labels_of
from genever_plugins.guidance._slope import Point, Uphill

__all__ = ["ClassifierGuidance"]

#: What the classes' logits [batch, classes] are there.
Logits = Callable[[Point], Tensor]


@dataclass(frozen=True, kw_only=True)
class ClassifierGuidance(Composed):
    """Towards images that a classifier is surer of: score + scale · grad log p(y | x_t).

    On the straight path that adds scale (1 - t) / t · grad log p(y | x_t) to the velocity. A run of aligner.NoisyClassifier
    has learned p(y | x_t): its gradient is taken at x_t itself, and a step costs one forward and backward pass of that
    network more, whatever is guided. Were it exact, a model of all classes (guidance = @CFG() with a scale of 0) and a scale
    of 1 would give just the images of class y.

    An encoder has seen clean images only, so that p(y | x_t) is taken as p(y | x̂_1(x_t)), at the model's estimate of the
    data, decoded; the gradient goes through the model, and a step costs about three times as much. The estimate is not the
    data: early, where it is a mean of many images, the classifier judges what it has never seen.

    Args:
        run: of aligner.NoisyClassifier: the newest finished run of that name, one run, or a path. Its classes, codec and
            path are those of this stage. None = an encoder classifies.
        encoder: a classifier of clean images. None = a run classifies.
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
    needs: ClassVar[tuple[str, ...]] = (
        "data.labels",
        "encoder.classifier|self.run",
        "encoder.differentiable|self.run",
    )

    run: RunName | None = None
    encoder: Encoder | None = None
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
        logits = self._logits(composition)

        def height(point: Point) -> Float[Tensor, " batch"]:
            labels, asked = labels_of(composition, point.cond)
            found = torch.log_softmax(logits(point).float(), 1)
            return torch.where(asked, found.gather(1, labels.unsqueeze(1)).squeeze(1), 0.0)

        inner = None if self.guidance is None else composition.build_guidance(self.guidance)
        return Uphill(part=self, loss=composition.loss, height=height, inner=inner)

    def _logits(self, composition: Composition) -> Logits:
        if self.run is not None and self.encoder is None:
            return _of_noisy(self._reader(self.run, composition))
        if self.encoder is not None and self.run is None:
            return _of_clean(self._classifier(self.encoder, composition), composition.codec)
        raise ValueError(
            f"guidance.ClassifierGuidance.run is {self.run!r} and guidance.ClassifierGuidance.encoder is "
            f"{self.encoder and named(self.encoder)}, but one of them is to classify. Set one: a run of "
            "aligner.NoisyClassifier, or an encoder such as encoder.Classifier."
        )

    def _classifier(self, encoder: Encoder, composition: Composition) -> ClassifierModule:
        built = composition.once(
            self, "classifier", lambda: composition.build_seeded("guide", lambda: encoder.build(composition, (1, 1)))
        )
        return cast(ClassifierModule, built.requires_grad_(False).eval())

    def _reader(self, run: RunName, composition: Composition) -> LabelReader:
        opened = composition.once(self, "classifier", lambda: composition.open(run))
        if LabelReader.head not in opened.model.heads:
            raise ValueError(
                f"guidance.ClassifierGuidance.run = {run!r} is no classifier of noisy images: it was trained without a head "
                "that tells labels apart. Name a run of aligner.NoisyClassifier."
            )
        for what, here, there in _differing(composition, opened):
            raise ValueError(
                f"guidance.ClassifierGuidance.run = {run!r} is of other noisy images than this stage: its {what} is "
                f"{there}, here it is {here}. Train a classifier with this stage's data, codec and path, or name one."
            )
        return LabelReader(model=opened.model, composition=opened)


def _of_noisy(reader: LabelReader) -> Logits:
    return lambda point: reader(point.x_t, point.t)


def _of_clean(classifier: ClassifierModule, codec: CodecModule) -> Logits:
    return lambda point: classifier.logits(codec.decode(point.estimate()))


def _differing(here: Composition, there: Composition) -> list[tuple[str, object, object]]:
    """What has to be alike and is not, here and there."""
    pairs = [
        ("number of classes", here.conditioner.spec.num_classes, there.data.spec.num_classes),
        ("latent", here.latent.shape, there.latent.shape),
        ("codec", here.stage.codec, there.stage.codec),
        ("path", here.loss.path, there.loss.path),
    ]
    return [pair for pair in pairs if pair[1] != pair[2]]
