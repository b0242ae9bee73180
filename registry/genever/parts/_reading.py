"""From a target 'module:Name' to its surface, by reading its source."""

from __future__ import annotations

from genever.parts._surface import Surface

__all__ = ["Unreadable", "read_surface"]


class Unreadable(Exception):
    """A target does not exist, or its source cannot be read."""


def read_surface(target: str, *, name: str, slot: str) -> Surface:
    """The surface of a target, without importing it."""
    raise Unreadable(f"{target} is not read yet.")
