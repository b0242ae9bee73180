"""Who looks at images: encoders, rewards, metrics and judges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from genever.training import Composition, Evaluation
    from genever.values import Samples

__all__ = [
    "Better",
    "ClassifierModule",
    "Encoder",
    "EncoderModule",
    "ExplainedMetric",
    "Judge",
    "JudgeModel",
    "Measures",
    "Metric",
    "PerceptualModule",
    "Reward",
    "RewardModel",
]


@runtime_checkable
class EncoderModule(Protocol):
    """A frozen network, an `nn.Module`, whose features others compare with."""

    width: int

    def __call__(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch tokens width"]: ...


@runtime_checkable
class ClassifierModule(EncoderModule, Protocol):
    """An encoder that also tells the data's classes apart: what an encoder builds that provides "classifier"."""

    @property
    def accuracy(self) -> float:
        """Its own accuracy on real images that it was not trained on."""
        ...

    def logits(self, images: Float[Tensor, " batch channels height width"]) -> Float[Tensor, " batch classes"]: ...


@runtime_checkable
class PerceptualModule(EncoderModule, Protocol):
    """An encoder that also tells how different images look: what an encoder builds that provides "perceptual"."""

    def distance(
        self,
        images: Float[Tensor, " batch channels height width"],
        other: Float[Tensor, " batch channels height width"],
    ) -> Float[Tensor, " batch"]:
        """Of each image from its other one; 0 = it looks the same."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Features of clean images in [-1, 1]: tokens in row-major order on a grid of the asked size.

    A grid of (1, 1) asks for the one token that says most about the whole image.
    """

    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module: ...


@runtime_checkable
class RewardModel(Protocol):
    """A built reward."""

    def __call__(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """Higher is better. `samples` holds the labels and captions that were asked for; its images are not used."""
        ...


@runtime_checkable
class Reward(Protocol):
    """What is good about an image.

    It provides "differentiable" where a gradient may be taken through it, and "cosine" where it is that of an angle between
    what the image shows and what was asked for, in [-1, 1].
    """

    def build(self, composition: Composition) -> RewardModel: ...


Better: TypeAlias = Literal["lower", "higher"]
#: What a metric declares: each number's name, and which end of it is the better one; None = neither is.
Measures: TypeAlias = Mapping[str, Better | None]


@runtime_checkable
class Metric(Protocol):
    """Judges what a model makes. It declares by `measures` its numbers, and which end of each is the better one.

    In a name '{prefix}' is the value of its parameter prefix, and '{metric.*}' each name of the metric that it names, whose
    ends hold here too.
    """

    def measure(self, evaluation: Evaluation) -> Mapping[str, float]:
        """Numbers by name, such as {"fd": 0.48}."""
        ...


@runtime_checkable
class ExplainedMetric(Metric, Protocol):
    """A metric that says how its numbers come about: numbers of one name may have come about in many ways."""

    def protocol(self, evaluation: Evaluation) -> str:
        """In one short line: how many samples, against what, by whose eyes. It stands beside each of its numbers."""
        ...


@runtime_checkable
class JudgeModel(Protocol):
    """A built judge."""

    def prefers(
        self,
        first: Float[Tensor, " batch channels height width"],
        second: Float[Tensor, " batch channels height width"],
        samples: Samples,
    ) -> Float[Tensor, " batch"]:
        """How likely the first image of each pair is the better one, in [0, 1]; 0.5 = neither is.

        Whoever calls asks a second time with the pair turned around, so that a judge who likes a place better than an image
        is found out.

        Args:
            samples: the labels and captions that both images of a pair were asked for; its images are not used.
        """
        ...


@runtime_checkable
class Judge(Protocol):
    """Says which of two images is better. A reward judges pairs too: the higher one is better."""

    def build(self, composition: Composition) -> JudgeModel: ...
