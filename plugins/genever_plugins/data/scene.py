"""Scenes by number: what is where follows from (seed, number) alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from genever_plugins.data.caption import COLOURS, PLACES, SHAPES, SIZES, Group

__all__ = ["EXTENT", "MAX_OBJECTS", "Item", "Scene", "scenes"]

#: More than four objects that share no edge of the 3 x 3 grid hardly have a choice of place.
MAX_OBJECTS = 4
#: Extent of an object as a share of the image's shorter side.
EXTENT: dict[str, float] = {"small": 0.17, "large": 0.28}
EXTENT_JITTER = 0.05
PLACE_JITTER = 0.04
NUM_DRAWS = 40


@dataclass(frozen=True, kw_only=True)
class Item:
    """One object.

    Args:
        x: of the middle of its extent, as a share of the image's width; y: of its height.
        extent: as a share of the image's shorter side.
    """

    size: str
    colour: str
    shape: str
    place: str
    x: float
    y: float
    extent: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a caption says, and the objects that an image shows."""

    groups: tuple[Group, ...]
    items: tuple[Item, ...]


def scenes(
    numbers: Sequence[int], *, key: tuple[int, ...], height: int, width: int, max_objects: int, places: bool
) -> list[Scene]:
    """Scenes of the given numbers; `key` tells one endless row of scenes from another."""
    draws = _uniform(np.asarray(numbers, dtype=np.uint64), key, NUM_DRAWS)
    return [_scene(iter(row.tolist()), height, width, max_objects, places) for row in draws]


def _scene(luck: Iterator[float], height: int, width: int, max_objects: int, places: bool) -> Scene:
    num = 1 + int(next(luck) * max_objects)
    counts = _pick(_compositions(num), next(luck))
    cells = list(_pick(_apart(num), next(luck)))
    kinds = list(itertools.product(SIZES, COLOURS, SHAPES))
    groups, items = list[Group](), list[Item]()
    for count in counts:
        size, colour, shape = kinds.pop(int(next(luck) * len(kinds)))
        mine = [cells.pop(int(next(luck) * len(cells))) for _ in range(count)]
        named = next(luck) < 0.5 and places and count == 1
        place = PLACES[mine[0]] if named else None
        groups.append(Group(count=count, size=size, colour=colour, shape=shape, place=place))
        items += [_item(luck, cell, size, colour, shape, height, width) for cell in mine]
    return Scene(groups=tuple(groups), items=tuple(items))


def _item(luck: Iterator[float], cell: int, size: str, colour: str, shape: str, height: int, width: int) -> Item:
    row, column = divmod(cell, 3)
    shorter = min(height, width)
    extent = EXTENT[size] * (1 + EXTENT_JITTER * (2 * next(luck) - 1))
    x, y = (
        _inside((place + 0.5) / 3 + PLACE_JITTER * (2 * next(luck) - 1) * shorter / side, extent * shorter / side)
        for place, side in ((column, width), (row, height))
    )
    return Item(size=size, colour=colour, shape=shape, place=PLACES[cell], x=x, y=y, extent=extent)


def _inside(centre: float, extent: float) -> float:
    # Triangles and crosses are a little wider than their extent.
    return min(max(centre, 0.56 * extent), 1 - 0.56 * extent)


@cache
def _compositions(num: int) -> tuple[tuple[int, ...], ...]:
    """Every way to write num as an ordered sum of at most three counts."""
    counts = (found for length in (1, 2, 3) for found in itertools.product(range(1, num + 1), repeat=length))
    return tuple(found for found in counts if sum(found) == num)


@cache
def _apart(num: int) -> tuple[tuple[int, ...], ...]:
    """Every choice of cells of the 3 x 3 grid of which no two share an edge, so that objects never touch."""

    def touch(one: int, other: int) -> bool:
        return abs(one // 3 - other // 3) + abs(one % 3 - other % 3) == 1

    choices = itertools.combinations(range(9), num)
    return tuple(cells for cells in choices if not any(itertools.starmap(touch, itertools.combinations(cells, 2))))


def _pick(choices: Sequence[tuple[int, ...]], share: float) -> tuple[int, ...]:
    return choices[int(share * len(choices))]


def _uniform(numbers: NDArray[np.uint64], key: tuple[int, ...], num: int) -> NDArray[np.float64]:
    """Uniform in [0, 1), [len(numbers), num]: SplitMix64 as a hash, the same on every machine and in every version."""
    state = np.zeros(1, dtype=np.uint64)
    for part in (*key, numbers[:, None], np.arange(num)):
        state = _mixed(state ^ _mixed(np.asarray(part, dtype=np.uint64)))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state = np.atleast_1d(state) + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
