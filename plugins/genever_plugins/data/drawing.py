"""Drawing shapes: how much of each pixel a shape covers, from its signed distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genever_plugins.data.caption import COLOURS, SHAPES
from genever_plugins.data.scene import Scene

__all__ = ["AREA", "CENTROID", "PALETTE", "Floats", "coverage", "draw"]

Floats = NDArray[np.floating[Any]]

#: Colours on black, in [0, 1], in the order of COLOURS: an edge pixel is darker and keeps its hue.
PALETTE: Floats = np.array(
    [
        [0.95, 0.10, 0.10],
        [0.10, 0.80, 0.15],
        [0.15, 0.25, 1.00],
        [0.95, 0.90, 0.10],
        [0.90, 0.15, 0.90],
        [0.10, 0.85, 0.90],
    ],
    dtype=np.float32,
)
#: Area of a shape of extent 1, in the order of SHAPES.
AREA: Floats = np.array([np.pi / 4, 0.9**2, 1.1 / 2, 2 * 1.05 * 0.35 - 0.35**2], dtype=np.float32)
#: How far a shape's centre of mass lies below the middle of its extent, in extents.
CENTROID: Floats = np.array([0, 0, 1 / 6, 0], dtype=np.float32)


def _circle(x: Floats, y: Floats, extent: Floats) -> Floats:
    return np.hypot(x, y) - extent / 2


def _square(x: Floats, y: Floats, extent: Floats) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - 0.45 * extent


def _triangle(x: Floats, y: Floats, extent: Floats) -> Floats:
    """As high as its extent and 1.1 times as wide, pointing up."""
    half_width = 0.55
    slope = (np.abs(x) - half_width * (y + extent / 2)) / np.float32(np.hypot(1, half_width))
    return np.maximum(slope, y - extent / 2)


def _cross(x: Floats, y: Floats, extent: Floats) -> Floats:
    """Two bars, 1.05 times as long as its extent and a third as thick."""
    far, near = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
    return np.maximum(far - 0.525 * extent, near - 0.175 * extent)


_DISTANCES: dict[str, Callable[[Floats, Floats, Floats], Floats]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
}


def coverage(
    shape: str,
    x: Sequence[float] | Floats,
    y: Sequence[float] | Floats,
    extent: Sequence[float] | Floats,
    size: tuple[int, int],
) -> Floats:
    """How much of each pixel each shape covers [num, height, width].

    Args:
        x: of the middles of the shapes, in pixels from the left edge; y: from the top; extent: in pixels.
        size: (height, width) of the image.
    """
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in size)
    across = columns[None, None, :] - np.asarray(x, dtype=np.float32)[:, None, None]
    down = rows[None, :, None] - np.asarray(y, dtype=np.float32)[:, None, None]
    distance = _DISTANCES[shape](across, down, np.asarray(extent, dtype=np.float32)[:, None, None])
    return np.clip(0.5 - distance, 0, 1)


def draw(scenes: Sequence[Scene], size: tuple[int, int]) -> Floats:
    """Images in [-1, 1], [num, 3, height, width]."""
    height, width = size
    images = np.zeros((len(scenes), 3, height, width), dtype=np.float32)
    every = [(number, item) for number, scene in enumerate(scenes) for item in scene.items]
    for shape in SHAPES:
        mine = [(number, item) for number, item in every if item.shape == shape]
        covered = coverage(
            shape,
            [item.x * width for _, item in mine],
            [item.y * height for _, item in mine],
            [item.extent * min(size) for _, item in mine],
            size,
        )
        # Objects never overlap, so adding them is painting them.
        for (number, item), alpha in zip(mine, covered, strict=True):
            images[number] += PALETTE[COLOURS.index(item.colour)][:, None, None] * alpha
    return np.clip(images, 0, 1) * 2 - 1
