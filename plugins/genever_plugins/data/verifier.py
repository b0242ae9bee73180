"""What an image shows: a program that finds coloured shapes, and compares them with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from genever_plugins.data.caption import COLOURS, PLACES, SHAPES, Group
from genever_plugins.data.drawing import AREA, CENTROID, PALETTE, Floats, coverage
from genever_plugins.data.scene import EXTENT

__all__ = ["Sight", "agreement", "look"]

#: A pixel belongs to an object from this brightness of its brightest channel on.
BRIGHT = 0.4
#: Smaller than this share of the smallest object's area is dirt and not an object.
SPECK = 0.25
#: From this many times the extent of a large object on, something is not a large object but too large.
LARGEST = 1.3
#: Cosine between a colour and the nearest of the palette, from which on it is that colour.
SAME_COLOUR = 0.93
#: Share of an object's pixels that must be of its colour.
ONE_COLOUR = 0.7
#: Squared difference from the best shape, as a share of the object's own square, up to which it is that shape.
SAME_SHAPE = 0.3

_DIRECTIONS: Floats = PALETTE / np.linalg.norm(PALETTE, axis=1, keepdims=True)
_SIZE_BORDER = (EXTENT["small"] * EXTENT["large"]) ** 0.5


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One object that was seen. None = it has no size, colour or shape that has a name."""

    size: str | None
    colour: str | None
    shape: str | None
    place: str


def agreement(groups: Sequence[Group], sights: Sequence[Sight]) -> float:
    """The share of a description that was seen: 1 = all of it and nothing else.

    Objects and sights are paired as well as can be. A pair counts by the share of what is said of the object (size,
    colour, shape, place) that is true; what has no partner counts 0.
    """
    asked = [group for group in groups for _ in range(group.count)]
    if not asked or not sights:
        return float(len(asked) == len(sights))
    pairs = np.array([[_true_share(group, sight) for sight in sights] for group in asked])
    return pairs[linear_sum_assignment(pairs, maximize=True)].sum().item() / max(pairs.shape)


def _true_share(group: Group, sight: Sight) -> float:
    asked = (group.size, group.colour, group.shape, group.place)
    seen = (sight.size, sight.colour, sight.shape, sight.place)
    said = [(one, other) for one, other in zip(asked, seen, strict=True) if one is not None]
    return sum(one == other for one, other in said) / len(said)


def look(images: Floats) -> list[list[Sight]]:
    """The objects of each image; images in [-1, 1], [num, 3, height, width], coloured shapes on black."""
    light = np.clip((images + 1) / 2, 0, 1)
    found = _pieces(light)
    seen: list[list[Sight]] = [[] for _ in images]
    if len(found.image) == 0:
        return seen
    size = images.shape[2:]
    extents, errors = _fits(found, size)
    best = errors.argmin(1)[:, None]
    extent, error = (np.take_along_axis(one, best, 1)[:, 0] for one in (extents, errors))
    rows = zip(found.image, found.colour, best[:, 0], extent / min(size), error, found.x, found.y, strict=True)
    for image, colour, shape, share, distance, x, y in rows:
        sight = Sight(
            size=_size(share),
            colour=None if colour < 0 else COLOURS[colour],
            shape=SHAPES[shape] if distance <= SAME_SHAPE else None,
            place=PLACES[3 * _third(y, size[0]) + _third(x, size[1])],
        )
        seen[image].append(sight)
    return seen


def _size(share: np.floating[Any]) -> str | None:
    if share > LARGEST * EXTENT["large"]:
        return None
    return "small" if share < _SIZE_BORDER else "large"


def _third(at: np.floating[Any], side: int) -> int:
    return min(int(3 * at / side), 2)


@dataclass(frozen=True)
class _Pieces:
    """Connected bright pieces of some images.

    Args:
        image: the number of each piece's image.
        colour: the number of its colour; -1 = none.
        alpha: how much of each pixel it covers [piece, height, width].
        x: of its centre of mass, in pixels; y: likewise.
    """

    image: NDArray[np.int64]
    colour: NDArray[np.int64]
    alpha: Floats
    x: Floats
    y: Floats

    @property
    def area(self) -> Floats:
        return self.alpha.sum((1, 2))

    def chosen(self, smallest: float) -> _Pieces:
        """The pieces of at least this area."""
        large = self.area >= smallest
        return _Pieces(self.image[large], self.colour[large], self.alpha[large], self.x[large], self.y[large])


def _pieces(light: Floats) -> _Pieces:
    links = np.zeros((3, 3, 3), dtype=bool)
    links[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # within one image, by edges
    labels: NDArray[np.int32] = np.zeros(light[:, 0].shape, dtype=np.int32)
    ndimage.label(light.max(1) > BRIGHT, structure=links, output=labels)
    smallest = SPECK * float(AREA.min()) * (EXTENT["small"] * min(light.shape[2:])) ** 2
    # A core is a piece without its soft edge, which may be half of a small one.
    numbers = np.flatnonzero(np.bincount(labels.ravel())[1:] >= smallest / 2) + 1
    # The pixels around a piece are its edge, covered in part.
    around = ndimage.grey_dilation(labels, footprint=np.ones((1, 3, 3)))
    boxes = ndimage.find_objects(labels)
    image = np.array([boxes[number - 1][0].start for number in numbers], dtype=np.int64)
    core = labels[image] == numbers[:, None, None]
    own = core | ((around[image] == numbers[:, None, None]) & (labels[image] == 0))
    colour, alpha = _colours(light[image], own, core)
    return _located(image, colour, alpha).chosen(smallest)


def _colours(light: Floats, own: NDArray[np.bool_], core: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
    """The colour of each piece, and how much of each pixel it covers."""
    cosines = np.einsum("pchw,kc->pkhw", light, _DIRECTIONS) / np.maximum(np.linalg.norm(light, axis=1), 1e-6)[:, None]
    mean = np.einsum("pchw,phw->pc", light, core.astype(np.float32))
    similar = (mean / np.linalg.norm(mean, axis=1, keepdims=True)) @ _DIRECTIONS.T
    nearest = similar.argmax(1)
    same = (cosines.argmax(1) == nearest[:, None, None]) & core
    pure = (similar.max(1) >= SAME_COLOUR) & (same.sum((1, 2)) >= ONE_COLOUR * core.sum((1, 2)))
    paint = PALETTE[nearest]
    alpha = np.einsum("pchw,pc->phw", light, paint) / (paint**2).sum(1)[:, None, None]
    return np.where(pure, nearest, -1), (np.clip(alpha, 0, 1) * own).astype(np.float32)


def _located(image: NDArray[np.int64], colour: NDArray[np.int64], alpha: Floats) -> _Pieces:
    area = np.maximum(alpha.sum((1, 2)), 1e-6)
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in alpha.shape[1:])
    x = (alpha.sum(1) @ columns) / area
    y = (alpha.sum(2) @ rows) / area
    return _Pieces(image, colour, alpha, x.astype(np.float32), y.astype(np.float32))


def _fits(pieces: _Pieces, size: tuple[int, ...]) -> tuple[Floats, Floats]:
    """How large each piece is if it is a shape, and how far it is from that shape [piece, shape].

    A shape is drawn with the piece's area and centre of mass, so nothing is left to fit.
    """
    height, width = size
    extents = np.sqrt(pieces.area[:, None] / AREA)
    errors = np.empty_like(extents)
    square = np.maximum((pieces.alpha**2).sum((1, 2)), 1e-6)
    for number, shape in enumerate(SHAPES):
        extent = extents[:, number]
        drawn = coverage(shape, pieces.x, pieces.y - CENTROID[number] * extent, extent, (height, width))
        errors[:, number] = ((drawn - pieces.alpha) ** 2).sum((1, 2)) / square
    return extents, errors
