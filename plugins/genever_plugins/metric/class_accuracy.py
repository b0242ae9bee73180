"""Whether samples are of the class that they were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from genever.slots import ClassifierModule, Data, Encoder, Measures
from genever.training import Evaluation, named, sampling

from genever_plugins.metric.judge import accuracy_of, judge

__all__ = ["ClassAccuracy"]


@dataclass(frozen=True, kw_only=True)
class ClassAccuracy:
    """The share "class_accuracy" of samples that a classifier puts into the class that they were asked for.

    The classifier's own accuracy on real held-out images comes along as "classifier_accuracy": a model cannot be judged
    better than that. A model that is not told labels scores by chance.

    Args:
        encoder: the classifier.
        data: whose labels are asked for. None = the stage's. Name other data to learn what a model that was tuned on little
            has forgotten.
        prefix: of both names, where a stage measures this twice.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.labels", "encoder.classifier")
    measures: ClassVar[Measures] = {"{prefix}class_accuracy": "higher", "{prefix}classifier_accuracy": None}

    encoder: Encoder
    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        evaluation = evaluation.on(self.data)
        module = cast(ClassifierModule, judge(self.encoder, evaluation.composition))
        made = evaluation.generated()
        assert made.labels is not None
        chunks = zip(made.images.split(500), made.labels.split(500), strict=True)
        right = sum(
            int((module.logits(images.to(evaluation.device)).argmax(1).cpu() == labels).sum()) for images, labels in chunks
        )
        return {f"{self.prefix}class_accuracy": right / len(made), **accuracy_of(module, self.prefix)}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, told apart by {named(self.encoder)}"
