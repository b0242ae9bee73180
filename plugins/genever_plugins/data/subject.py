"""A few images of one thing that no caption of shapes can name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Ge
from genever.values import DataSpec, Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.data.caption import PLACES, SIZES
from genever_plugins.data.drawing import Floats
from genever_plugins.data.scene import EXTENT, Scene, scenes

__all__ = ["Subject", "Subjects", "likeness"]

#: Orange lies between two colours that have a name.
ORANGE: Floats = np.array([0.95, 0.50, 0.05], dtype=np.float32)
#: Of a ring of extent 1: the radius of its middle, and half of its thickness.
RADIUS, HALF = 0.35, 0.15
AREA = 4 * np.pi * RADIUS * HALF
#: The likeness from which on an image shows the subject: a disc of its colour comes to 0.89.
SAME = 0.93
#: What covers less of a pixel is the noise of a black that is not quite black.
DIM = 0.15
_SIZE_BORDER = (EXTENT["small"] * EXTENT["large"]) ** 0.5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Images of one thing, an orange ring on black, as data.Shapes would draw it: its captions have no word for either.

    A caption is "a large <thing>", or with its place "a small <thing> at the top left". Sizes and places are those of
    data.Shapes; image number i follows from (seed, split, i) alone.

    `verify` tells whether an image shows the ring and nothing else, as large and where the caption says.

    Args:
        placeholder: the word for it.
        height: of the images in pixels.
        width: of the images in pixels.
        places: False = captions never say where it is.
        train_size: its size on all images of the training split; the other one is held out. None = both.
        num_images: of the training split: nobody has many pictures of one thing.
        num_validation: images of the validation split, of both sizes.
        seed: of sizes and places; not the stage's.
    """

    provides: ClassVar[tuple[str, ...]] = ("captions", "verifiable")
    needs: ClassVar[tuple[str, ...]] = ()

    placeholder: str = "<thing>"
    height: Annotated[int, Ge(16)] = 32
    width: Annotated[int, Ge(16)] = 32
    places: bool = True
    train_size: Literal["small", "large"] | None = None
    num_images: Annotated[int, Ge(1)] = 6
    num_validation: Annotated[int, Ge(1)] = 100
    seed: Annotated[int, Ge(0)] = 0

    def build(self, split: Literal["train", "validation"]) -> Subjects:
        return Subjects(self, split)


class Subjects:
    """`genever.slots.VerifiableDataset` of one thing."""

    def __init__(self, part: Subject, split: Literal["train", "validation"]) -> None:
        self.part = part
        self.spec = DataSpec(channels=3, height=part.height, width=part.width, captions=True)
        is_train = split == "train"
        drawn = _scenes_of_one(part, part.train_size if is_train else None, (part.seed, 3 if is_train else 4))
        self.scenes = drawn[: part.num_images if is_train else part.num_validation]

    def __len__(self) -> int:
        return len(self.scenes)

    def fetch(self, indices: Sequence[int]) -> Samples:
        found = [self.scenes[index] for index in indices]
        height, width = size = self.part.height, self.part.width
        x, y, extent = np.array([(one.items[0].x, one.items[0].y, one.items[0].extent) for one in found]).T
        images = ring(x * width, y * height, extent * min(size), size) * 2 - 1
        return Samples(images=torch.from_numpy(images), captions=tuple(self._caption(scene) for scene in found))

    def verify(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        """The share of its caption that each image shows: 1 = the ring as was asked and nothing else; 0 = something else.

        Raises:
            ValueError: a caption does not ask for this subject.
        """
        assert samples.captions is not None
        sights = _look(images.detach().float().cpu().numpy())
        pairs = zip(map(self._asked, samples.captions), sights, strict=True)
        return torch.tensor([_true_share(asked, sight) for asked, sight in pairs])

    def _caption(self, scene: Scene) -> str:
        place = scene.groups[0].place
        return f"a {scene.items[0].size} {self.part.placeholder}" + (f" at the {place}" if place else "")

    def _asked(self, caption: str) -> tuple[str, str | None]:
        """The size and the place that a caption says."""
        said = rf"a ({'|'.join(SIZES)}) {re.escape(self.part.placeholder)}(?: at the ({'|'.join(PLACES)}))?"
        found = re.fullmatch(said, caption.strip())
        if found is None:
            raise ValueError(
                f"The caption {caption!r} does not ask for the subject. Write 'a large {self.part.placeholder}' or "
                f"'a small {self.part.placeholder} at the top left', say, with the places {', '.join(PLACES)}."
            )
        return found[1], found[2]


def ring(x: Floats, y: Floats, extent: Floats, size: tuple[int, int]) -> Floats:
    """Orange rings on black, in [0, 1], [num, 3, height, width].

    Args:
        x: of their middles, in pixels from the left edge; y: from the top; extent: in pixels.
        size: (height, width) of the images.
    """
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in size)
    x, y, extent = (np.asarray(one, dtype=np.float32)[:, None, None] for one in (x, y, extent))
    away = np.hypot(columns[None, None, :] - x, rows[None, :, None] - y)
    covered = np.clip(0.5 - (np.abs(away - RADIUS * extent) - HALF * extent), 0, 1)
    return covered[:, None] * ORANGE[:, None, None]


def likeness(images: Floats) -> Floats:
    """How like the subject each image is [num]: 1 = the same, 0 = nothing in common; images in [-1, 1].

    An image a is compared with the ring b that has its amount of orange and its centre: 2 a·b / (a·a + b·b).
    """
    return _compared(images)[0]


def _compared(images: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The likeness of each image, and the ring that it is compared with: x, y and extent in pixels."""
    light = np.clip((images + 1) / 2, 0, 1)
    covered = np.clip(np.einsum("nchw,c->nhw", light, ORANGE) / (ORANGE**2).sum(), 0, 1)
    covered = np.where(covered < DIM, 0, covered)
    area = np.maximum(covered.sum((1, 2)), 1e-6)
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in light.shape[2:])
    x, y, extent = covered.sum(1) @ columns / area, covered.sum(2) @ rows / area, np.sqrt(area / AREA)
    drawn = ring(x, y, extent, (light.shape[2], light.shape[3]))
    same, all_of_both = (light * drawn).sum((1, 2, 3)), (light**2 + drawn**2).sum((1, 2, 3))
    return 2 * same / np.maximum(all_of_both, 1e-6), x, y, extent


def _look(images: Floats) -> list[tuple[str, str] | None]:
    """The size and the place of the subject on each image; None = the image does not show it."""
    height, width = images.shape[2:]
    found: list[tuple[str, str] | None] = []
    for like, x, y, extent in zip(*(one.tolist() for one in _compared(images)), strict=True):
        size = SIZES[int(extent / min(height, width) > _SIZE_BORDER)]
        place = PLACES[3 * _third(y / height) + _third(x / width)]
        found.append((size, place) if like >= SAME else None)
    return found


def _true_share(asked: tuple[str, str | None], sight: tuple[str, str] | None) -> float:
    if sight is None:
        return 0.0
    said = [(one, other) for one, other in zip(asked, sight, strict=True) if one is not None]
    return (1 + sum(one == other for one, other in said)) / (1 + len(said))


def _third(share: float) -> int:
    return min(int(3 * share), 2)


def _scenes_of_one(part: Subject, size: str | None, key: tuple[int, ...]) -> list[Scene]:
    """Scenes of one object, of a size where that is asked: more than either split has."""
    # Every second scene is of either size, so that four times as many are enough.
    numbers = range(4 * max(part.num_images, part.num_validation) + 64)
    found = scenes(numbers, key=key, height=part.height, width=part.width, max_objects=1, places=part.places)
    return [scene for scene in found if size in (None, scene.items[0].size)]
