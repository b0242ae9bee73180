"""Scenes of coloured shapes, with captions that a program can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from genever.values import DataSpec, Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.data.caption import COLOURS, SHAPES, describe, parse_caption
from genever_plugins.data.drawing import draw
from genever_plugins.data.scene import Scene, scenes
from genever_plugins.data.verifier import agreement, look

__all__ = ["Scenes", "Shapes"]

#: Pixels drawn or looked at together: more do not fit into a cache and take three times as long.
PIXELS_AT_A_TIME = 2**16


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Captioned scenes of coloured shapes on black, drawn with smooth edges when they are asked for, at any size.

    A caption says how many objects of which size, colour and shape there are, and where some of them are: "two small red
    circles and a large blue square at the top left". Sizes are small and large; colours red, green, blue, yellow, magenta
    and cyan; shapes circle, square, triangle and cross; places the cells of a 3 x 3 grid. Objects never touch. The label
    is the kind of object that the caption names first: 6 * number of the shape + number of the colour, in the order above.
    `Samples.extras["scene"]` holds each scene. Image number i follows from (seed, split, i) alone.

    `verify` finds the objects of an image by colour and outline, and compares them with a caption: what a caption does not
    say may be as it likes.

    Args:
        height: of the images in pixels; outlines are hard to tell below 24.
        width: of the images in pixels.
        max_objects: a scene has 1 .. max_objects of them, each number equally often.
        places: False = captions never say where something is.
        captions: 'short' = they say no sizes, as in "two red circles"; the images are the same.
        num_images: of the training split.
        num_validation: images of the validation split.
        seed: of the scenes; not the stage's, so that all stages see the same.
    """

    provides: ClassVar[tuple[str, ...]] = ("labels", "captions", "verifiable")
    needs: ClassVar[tuple[str, ...]] = ()

    height: Annotated[int, Ge(16)] = 32
    width: Annotated[int, Ge(16)] = 32
    max_objects: Annotated[int, Ge(1), Le(4)] = 3
    places: bool = True
    captions: Literal["full", "short"] = "full"
    num_images: Annotated[int, Ge(1)] = 50000
    num_validation: Annotated[int, Ge(1)] = 1000
    seed: Annotated[int, Ge(0)] = 0

    def build(self, split: Literal["train", "validation"]) -> Scenes:
        return Scenes(self, split)


class Scenes:
    """`genever.slots.VerifiableDataset` of drawn scenes."""

    def __init__(self, part: Shapes, split: Literal["train", "validation"]) -> None:
        self.part = part
        self.key = (part.seed, ("train", "validation").index(split))
        self.num = part.num_images if split == "train" else part.num_validation
        self.spec = DataSpec(
            channels=3,
            height=part.height,
            width=part.width,
            num_classes=len(SHAPES) * len(COLOURS),
            captions=True,
        )

    def __len__(self) -> int:
        return self.num

    def fetch(self, indices: Sequence[int]) -> Samples:
        found = self.scenes(indices)
        size = (self.part.height, self.part.width)
        drawn = [draw(found[first : first + self._chunk], size) for first in range(0, len(found), self._chunk)]
        return Samples(
            images=torch.from_numpy(np.concatenate(drawn)),
            labels=torch.tensor([_label(scene) for scene in found]),
            captions=tuple(self._caption(scene) for scene in found),
            extras={"scene": tuple(found)},
        )

    def scenes(self, indices: Sequence[int]) -> list[Scene]:
        """What is on the images of these numbers."""
        outside = [index for index in indices if not 0 <= index < self.num]
        if outside:
            raise IndexError(f"There is no image number {outside[0]} among {self.num}.")
        part = self.part
        return scenes(
            indices,
            key=self.key,
            height=part.height,
            width=part.width,
            max_objects=part.max_objects,
            places=part.places,
        )

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """The share of its caption that each image shows: 1 = all of it and nothing else.

        Raises:
            ValueError: a caption does not describe a scene of shapes.
        """
        assert samples.captions is not None
        asked = [parse_caption(caption) for caption in samples.captions]
        pixels = images.detach().float().cpu().numpy()
        seen = [
            sights for first in range(0, len(asked), self._chunk) for sights in look(pixels[first : first + self._chunk])
        ]
        return torch.tensor([agreement(groups, sights) for groups, sights in zip(asked, seen, strict=True)])

    def _caption(self, scene: Scene) -> str:
        if self.part.captions == "full":
            return describe(scene.groups)
        return describe(tuple(replace(group, size=None) for group in scene.groups))

    @property
    def _chunk(self) -> int:
        return max(PIXELS_AT_A_TIME // (self.part.height * self.part.width), 1)


def _label(scene: Scene) -> int:
    named_first = scene.groups[0]
    return SHAPES.index(named_first.shape) * len(COLOURS) + COLOURS.index(named_first.colour)
