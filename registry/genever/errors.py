"""Errors that a user can meet, and how they are worded."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = [
    "COMMAND_LINE",
    "MAX_LENGTH",
    "MAX_PROBLEMS",
    "Level",
    "Place",
    "Problem",
    "UserError",
    "did_you_mean",
    "listed",
    "nearest",
    "shown_path",
]

#: The file of what was said on the command line; its lines are the bindings, in their order.
COMMAND_LINE = "-b"
MAX_LENGTH = 1200
#: Nobody reads more at once.
MAX_PROBLEMS = 200
Level = Literal["error", "warning"]


class UserError(Exception):
    """The user's input is wrong. Its message says what was found, what is allowed and what to do; the exit code is 2."""


@dataclass(frozen=True, order=True)
class Place:
    """A line of a file, which is COMMAND_LINE for what was said there."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Args:
        file: as a user would write it, or COMMAND_LINE.
        line: counted from 1.
        message: what was found, what is nearest or allowed, what to do.
    """

    level: Level
    file: str
    line: int
    message: str

    @classmethod
    def at(cls, place: Place, message: str, level: Level = "error") -> Problem:
        """A problem at a place; its message is cut where somebody's names are endless."""
        return cls(level, place.file, place.line, message if len(message) <= MAX_LENGTH else f"{message[:MAX_LENGTH]}...")

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.message}"


@functools.lru_cache(maxsize=4096)
def nearest(word: str, names: tuple[str, ...], num: int = 3) -> tuple[str, ...]:
    """The names that a word was probably meant to be, best first; a full name is also near by its last part."""
    by_lower: dict[str, list[str]] = {}
    for name in names:
        by_lower.setdefault(name.lower(), []).append(name)
        by_lower.setdefault(name.rpartition(".")[2].lower(), []).append(name)
    # Beyond this length nobody means a name, and difflib takes quadratic time.
    close = difflib.get_close_matches(word.lower()[:80], list(by_lower), n=2 * num, cutoff=0.65)
    return tuple(dict.fromkeys(name for match in close for name in by_lower[match]))[:num]


def did_you_mean(word: str, names: Iterable[str], prefix: str = "") -> str:
    """' Did you mean ...?', or nothing."""
    close = nearest(word, tuple(names))
    return f" Did you mean {' or '.join(f'{prefix}{name}' for name in close)}?" if close else ""


def listed(names: Iterable[str], limit: int = 40) -> str:
    """Names in a row."""
    names = list(names)
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more if names else "none"


def shown_path(path: Path) -> str:
    """A path as a user would write it: relative where it lies below the working directory."""
    text, here = os.path.abspath(path), os.getcwd()
    text = "." if text == here else text.removeprefix(os.path.join(here, ""))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
