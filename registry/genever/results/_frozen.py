"""What a run's resolved.gin says, which is one binding a line, each with where it came from."""

from __future__ import annotations

from typing import NamedTuple

from genever.runs import RunDirectory

__all__ = ["Value", "frozen_values"]

DEFAULT = "default"


class Value(NamedTuple):
    """A value that a run was composed of.

    Args:
        text: as gin reads it.
        place: 'file:line', '-b', 'start, file:line', or 'default'.
    """

    text: str
    place: str

    @property
    def is_chosen(self) -> bool:
        """Whether anybody set it."""
        return self.place != DEFAULT


def frozen_values(run: RunDirectory) -> dict[str, Value]:
    """By full key, such as 'critic/optimizer.AdamW.lr', in the order of the file; {} where it cannot be read."""
    try:
        lines = run.resolved.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError):
        return {}
    found: dict[str, Value] = {}
    for line in lines:
        key, equals, rest = line.partition(" = ")
        if equals and not key.startswith("#"):
            text, _, place = rest.rpartition("  # ")
            found[key] = Value(text or rest, place if text else "")
    return found
