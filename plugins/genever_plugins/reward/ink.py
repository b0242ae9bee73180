"""Brightness as a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import RewardModel
from genever.training import Composition
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["Ink"]


@dataclass(frozen=True, kw_only=True)
class Ink:
    """The mean brightness of an image, 0 = black .. 1 = white: on digits, how much ink there is.

    It says nothing of what the image shows, so a model that only follows it ends with white squares. That makes it a
    measure of what holds a model back: few steps, a KL term, a small adapter.
    """

    provides: ClassVar[tuple[str, ...]] = ("differentiable",)
    needs: ClassVar[tuple[str, ...]] = ()

    def build(self, composition: Composition) -> RewardModel:
        return brightness


def brightness(images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
    """The mean over pixels, from [-1, 1] to [0, 1]."""
    return (images.flatten(1).mean(1) + 1) / 2
