"""What parts hand each other: plain values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

__all__ = ["BatchShape", "Condition", "ConditionSpec", "DataSpec", "LatentSpec", "RunName", "Samples", "TimeContext"]

#: The name of a run: of the newest finished one of an experiment, such as 'digits/pretrain', of one run, or a path. A
#: parameter of this type is checked as a run, and frozen as that one run.
RunName: TypeAlias = str


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What a dataset holds. Images are floats in [-1, 1].

    Args:
        num_classes: labels are 0 .. num_classes - 1; None = no labels.
        captions: whether every sample has a caption.
    """

    channels: int
    height: int
    width: int
    num_classes: int | None = None
    captions: bool = False

    @property
    def described(self) -> str:
        """In words, such as '3x24x24 images of 24 classes with captions'."""
        classes = "" if self.num_classes is None else f" of {self.num_classes} classes"
        return f"{self.channels}x{self.height}x{self.width} images{classes}{' with captions' * self.captions}"


@dataclass(frozen=True, kw_only=True)
class BatchShape:
    """How many images a step sees, and of which size in pixels."""

    num_samples: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The space a model is trained in: what a codec makes of one image."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class ConditionSpec:
    """What a conditioner tells a backbone; None = it does not offer that.

    Args:
        num_classes: `Condition.classes` lies in 0 .. num_classes, where num_classes itself means "no class".
        text_width: width of `Condition.tokens`.
        text_length: number of `Condition.tokens`.
        pooled_width: width of `Condition.pooled`.
        image_channels: channels of `Condition.image`.
        numbers: names of what `Condition.numbers` holds.
    """

    num_classes: int | None = None
    text_width: int | None = None
    text_length: int | None = None
    pooled_width: int | None = None
    image_channels: int | None = None
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Some samples of a dataset, batch first.

    Args:
        candidates: images that might all have been given for the sample's label or caption, such as the pair that somebody
            preferred one of. None = the data has none.
        extras: anything else a dataset knows of each sample (a scene's description, say), one entry per sample.
    """

    images: Float[Tensor, " batch channels height width"]
    labels: Int[Tensor, " batch"] | None = None
    captions: tuple[str, ...] | None = None
    candidates: Float[Tensor, " batch num channels height width"] | None = None
    extras: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, which: slice | list[int]) -> Samples:
        """Some of them, as a slice or in the order of their places."""
        places = range(len(self))[which] if isinstance(which, slice) else which
        return Samples(
            images=self.images[which],
            labels=None if self.labels is None else self.labels[which],
            captions=None if self.captions is None else tuple(self.captions[place] for place in places),
            candidates=None if self.candidates is None else self.candidates[which],
            extras={key: tuple(values[place] for place in places) for key, values in self.extras.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Condition:
    """An embedded condition, as a backbone reads it; every entry is batch first.

    Args:
        image: such as the picture in low resolution. A conditioner gives it at any size; a backbone gets it at that of x.
        numbers: further numbers of each sample, which a backbone reads beside the time: "image_level" (how much noise is in
            `image`, in [0, 1]: 0 = none, 1 = nothing but noise), "end_time", "guidance_scale", ...
    """

    classes: Int[Tensor, " batch"] | None = None
    tokens: Float[Tensor, " batch length width"] | None = None
    mask: Bool[Tensor, " batch length"] | None = None
    pooled: Float[Tensor, " batch width"] | None = None
    image: Float[Tensor, " batch channels height width"] | None = None
    numbers: Mapping[str, Float[Tensor, " batch"]] | None = None


@dataclass(frozen=True, kw_only=True)
class TimeContext:
    """What a timestep sampler may look at.

    Args:
        latent: the space the times are for (a resolution shift reads its size), which may differ from step to step.
        step: the training step, counted over all rounds.
    """

    latent: LatentSpec
    step: int = 0
