"""A mapping of a sweep file, read key by key; every mistake is collected, none is raised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from genever.errors import Place, Problem, did_you_mean, listed
from genever.sweeps._document import Fields, Items, Node, Scalar

__all__ = ["Mistakes", "Section"]

T = TypeVar("T", bound="Fields | Items")


@dataclass
class Mistakes:
    """The mistakes of a file."""

    found: list[Problem] = field(default_factory=list)

    def add(self, place: Place, message: str) -> None:
        self.found.append(Problem.at(place, message))


class Section:
    """A mapping of known keys.

    Args:
        name: what it is called in messages, such as 'vary.random'; '' = the file itself.
        known: the keys that it may hold.
    """

    def __init__(self, node: Fields, name: str, known: Sequence[str], mistakes: Mistakes) -> None:
        self.place, self.name, self.mistakes = node.place, name, mistakes
        self.nodes = unique(node, name, mistakes)
        self.places = {key.text: key.place for key, _ in reversed(node.fields)}
        for key in [key for key in self.nodes if key not in known]:
            hint = did_you_mean(key, known) or f" It may hold: {listed(known)}."
            what = f"a key of {name}" if name else "a key of a sweep file"
            mistakes.add(self.places[key], f"{key!r} is not {what}.{hint}")
            del self.nodes[key]

    def label(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def wrong(self, key: str, what: str) -> None:
        """Says that a value is not what it must be."""
        self.mistakes.add(self.nodes[key].place, f"{self.label(key)} is {self.nodes[key]}. {what}")

    def missing(self, key: str, what: str) -> None:
        where = f"{self.name} has no {key!r}" if self.name else f"{key!r} is missing"
        self.mistakes.add(self.place, f"{where}. {what}")

    def integer(self, key: str, *, least: int = 1) -> int | None:
        """A whole number; None where there is none, or it is wrong."""
        node = self.nodes.get(key)
        if node is None:
            return None
        value = node.value if isinstance(node, Scalar) else None
        if type(value) is int and value >= least:
            return value
        self.wrong(key, f"It must be a whole number of at least {least}.")
        return None

    def text(self, key: str) -> str | None:
        """A word; None where there is none, or it is wrong."""
        node = self.nodes.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            return node.value
        self.wrong(key, "It must be a text.")
        return None

    def one_of(self, key: str, allowed: Sequence[str]) -> str | None:
        """One of some words."""
        value = self.text(key)
        if value is None or value in allowed:
            return value
        self.mistakes.add(
            self.nodes[key].place,
            f"{self.label(key)} is {value!r}.{did_you_mean(value, allowed)} It must be {' or '.join(map(repr, allowed))}.",
        )
        return None

    def fields(self, key: str, example: str) -> Fields | None:
        """A mapping that is not empty."""
        return self._container(key, Fields, f"It must be a mapping, such as {example}.")

    def items(self, key: str, example: str) -> Items | None:
        """A list that is not empty."""
        return self._container(key, Items, f"It must be a list, such as {example}.")

    def _container(self, key: str, kind: type[T], what: str) -> T | None:
        node = self.nodes.get(key)
        if node is None:
            return None
        if isinstance(node, kind) and (node.items if isinstance(node, Items) else node.fields):
            return node
        self.wrong(key, what)
        return None


def unique(node: Fields, name: str, mistakes: Mistakes) -> dict[str, Node]:
    """The values by their keys; a key that stands twice is a mistake."""
    found: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for key, value in node.fields:
        if key.text in found:
            where = f"{name}.{key.text}" if name else key.text
            mistakes.add(key.place, f"{where} stands in line {lines[key.text]} already. Leave one of the two out.")
            continue
        found[key.text], lines[key.text] = value, key.place.line
    return found
