"""The words for a scene: a grammar that reads both ways."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["COLOURS", "COUNTS", "PLACES", "SHAPES", "SIZES", "Group", "describe", "parse_caption"]

COUNTS: tuple[str, ...] = ("a", "two", "three", "four")
SIZES: tuple[str, ...] = ("small", "large")
COLOURS: tuple[str, ...] = ("red", "green", "blue", "yellow", "magenta", "cyan")
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "cross")
#: The cells of a 3 x 3 grid, row by row.
PLACES: tuple[str, ...] = (
    "top left",
    "top",
    "top right",
    "left",
    "centre",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some objects of one kind.

    Args:
        size: None = not said.
        place: where a single object is. None = not said.
    """

    count: int
    size: str | None
    colour: str
    shape: str
    place: str | None = None


def describe(groups: tuple[Group, ...]) -> str:
    """The caption of a scene, such as "two small red circles and a large blue square at the top left"."""
    *first, last = (_phrase(group) for group in groups)
    return f"{', '.join(first)} and {last}" if first else last


def parse_caption(caption: str) -> tuple[Group, ...]:
    """What a caption describes.

    Raises:
        ValueError: the caption is not one that `describe` writes.
    """
    return tuple(_group(phrase, caption) for phrase in re.split(r", | and ", caption.strip()))


def _phrase(group: Group) -> str:
    shape = group.shape if group.count == 1 else _plural(group.shape)
    words = (COUNTS[group.count - 1], group.size, group.colour, shape, f"at the {group.place}" if group.place else None)
    return " ".join(filter(None, words))


def _plural(shape: str) -> str:
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"


_SINGULAR = {word: shape for shape in SHAPES for word in (shape, _plural(shape))}
_PHRASE = re.compile(
    rf"({'|'.join(COUNTS)}) (?:({'|'.join(SIZES)}) )?({'|'.join(COLOURS)}) ({'|'.join(_SINGULAR)})"
    rf"(?: at the ({'|'.join(PLACES)}))?"
)


def _group(phrase: str, caption: str) -> Group:
    found = _PHRASE.fullmatch(phrase)
    count = COUNTS.index(found[1]) + 1 if found else 0
    if found is None or (found[4] in SHAPES) != (count == 1) or (found[5] and count > 1):
        raise ValueError(
            f"{phrase!r} of the caption {caption!r} describes no shapes. Write, say, 'two small red circles' or "
            f"'a large blue square at the top left', joined by ', ' and ' and ', with the sizes {', '.join(SIZES)} or none, "
            f"the colours {', '.join(COLOURS)}, the shapes {', '.join(SHAPES)} and the places {', '.join(PLACES)}."
        )
    return Group(count=count, size=found[2], colour=found[3], shape=_SINGULAR[found[4]], place=found[5])
