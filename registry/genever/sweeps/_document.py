"""A YAML file as a tree that knows its lines. Nothing is guessed: `on` is a word, 1e-3 a number, a date a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from genever.errors import Place, Problem, did_you_mean

__all__ = ["Fields", "Items", "Node", "Scalar", "read_document"]

#: Beyond this a file is no sweep, and would take seconds to read.
MAX_BYTES = 1 << 20
MAX_NODES = 100_000
MAX_DEPTH = 20
#: Python reads no whole number with more digits than a few thousand, and no float holds one with more than these.
MAX_DIGITS = 300
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "~": None, "": None}


@dataclass(frozen=True)
class Scalar:
    """A word or a number.

    Args:
        quoted: whether it stood in quotes, so that it is a text whatever it says.
    """

    text: str
    place: Place
    quoted: bool = False

    @property
    def value(self) -> str | int | float | bool | None:
        """What the word means. Python's spelling of None is understood beside YAML's."""
        if self.quoted:
            return self.text
        if self.text.lower() in _WORDS:
            return _WORDS[self.text.lower()]
        if _INT.fullmatch(self.text):
            return int(self.text) if len(self.text) <= MAX_DIGITS else self.text
        return float(self.text) if _FLOAT.fullmatch(self.text) else self.text

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place

    def __str__(self) -> str:
        return _short(f"[{', '.join(map(str, self.items))}]")


@dataclass(frozen=True)
class Fields:
    """A mapping; its keys are words as they were written, and may stand twice."""

    fields: tuple[tuple[Scalar, Node], ...]
    place: Place

    def __str__(self) -> str:
        return _short(f"{{{', '.join(f'{key.text}: {value}' for key, value in self.fields)}}}")


Node = Scalar | Items | Fields


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[object]] = {}  # noqa: RUF012  (as its parent declares it)


def read_document(path: Path, shown: str) -> Node | Problem:
    """Reads a YAML file.

    Args:
        shown: the file's name in messages.
    """
    text = _text_of(path)
    if isinstance(text, _Refusal):
        return Problem.at(Place(shown, text.line), text.message)
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise _Refusal("The file is empty. Write at least 'experiment:' and what to vary.")
        return _Converter(shown).node(root, 0)
    except yaml.MarkedYAMLError as error:
        return _syntax_problem(error, text, shown)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        return Problem.at(
            Place(shown, line), f"There is a character that YAML does not allow, {error.character:#x}. Take it out."
        )
    except RecursionError:
        return Problem.at(Place(shown, 1), f"A value is nested more than {MAX_DEPTH} deep. Write it flatter.")
    except _Refusal as refusal:
        return Problem.at(Place(shown, refusal.line), refusal.message)


class _Refusal(Exception):
    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.message, self.line = message, line


def _text_of(path: Path) -> str | _Refusal:
    try:
        if path.is_dir():
            return _Refusal(f"This is a folder. Name a sweep file in it.{_like(path / 'sweep.yaml')}")
        if not path.is_file():
            return _Refusal(f"There is no file {path.name!r} here.{_like(path)}")
        if path.stat().st_size > MAX_BYTES:
            return _Refusal(f"The file is larger than {MAX_BYTES >> 20} MiB. Name a sweep file.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _Refusal(
            f"The file is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}. Save it as UTF-8."
        )
    except (OSError, ValueError) as error:
        return _Refusal(f"The file cannot be read: {getattr(error, 'strerror', None) or error}.")


def _like(path: Path) -> str:
    names = sorted(file.name for file in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
    return did_you_mean(path.name, names)


class _Converter:
    """From PyYAML's nodes to ours; an alias counts as often as it is used."""

    def __init__(self, file: str) -> None:
        self.file, self.num = file, 0

    def node(self, node: yaml.Node, depth: int) -> Node:
        line = node.start_mark.line + 1
        self.num += 1
        if depth > MAX_DEPTH:
            raise _Refusal(f"A value is nested more than {MAX_DEPTH} deep. Write it flatter.", line)
        if self.num > MAX_NODES:
            raise _Refusal(
                f"The file holds more than {MAX_NODES:,} values. Write them as a distribution, or in several files.", line
            )
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in ("str", "seq", "map"):
            raise _Refusal(f"The tag of {_short(str(node.value))} is not read. Leave out the word with '!'.", line)
        place = Place(self.file, line)
        if isinstance(node, yaml.ScalarNode):
            return Scalar(node.value, place, quoted=node.style is not None)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.node(item, depth + 1) for item in node.value), place)
        return Fields(tuple(self._fields(node, depth)), place)

    def _fields(self, node: yaml.Node, depth: int) -> Iterator[tuple[Scalar, Node]]:
        for key, value in node.value:
            name = self.node(key, depth + 1)
            if not isinstance(name, Scalar):
                raise _Refusal(f"A key is {name}, and must be a word.", name.place.line)
            yield name, self.node(value, depth + 1)


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, shown: str) -> Problem:
    said = f"{error.context or ''} {error.problem or ''}"
    unclosed = "while scanning a quoted" in said or "while parsing a flow" in said
    mark = (error.context_mark if unclosed else error.problem_mark) or error.problem_mark
    number = mark.line if mark else 0
    lines = text.split("\n")
    line = _short(repr(lines[number].strip())) if number < len(lines) else "The end"
    message = next(
        (what for fragment, what in _COMPLAINTS if fragment in said), f"{{line}} is not YAML: {error.problem}. Mend it."
    )
    return Problem.at(Place(shown, number + 1), message.replace("{line}", line))


_UNQUOTED = "{line} has {what} without quotes, which YAML keeps for itself. Write '{instead}', with the quotes."
#: What PyYAML says, and what to say instead of a line.
_COMPLAINTS = (
    ("character '@'", _UNQUOTED.replace("{what}", "an '@'").replace("{instead}", "@Name()")),
    ("character '%'", _UNQUOTED.replace("{what}", "a '%'").replace("{instead}", "%NAME")),
    ("scanning a directive", _UNQUOTED.replace("{what}", "a '%'").replace("{instead}", "%NAME")),
    ("character '\\t'", "{line} is indented with a tab, which YAML does not allow. Use spaces."),
    ("another document", "A second document begins here with '---'. Write one sweep a file."),
    ("mapping values are not allowed", "{line} has a ':' too many, or an indentation that fits no line above it. Mend it."),
    (
        "quoted scalar",
        "The text in quotes in {line} is never closed, or has a stray backslash. Close it, or use single quotes.",
    ),
    ("flow sequence", "The '[' in {line} is never closed, or lacks a comma. Close it."),
    ("flow mapping", "The '{' in {line} is never closed, or lacks a comma. Close it."),
    ("could not find expected ':'", "The line above {line} has no ':'. Write 'key: value'."),
    ("undefined alias", "{line} uses a '*name' that no '&name' defines. Write the value itself, in quotes if it has a '*'."),
)


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
