"""Files and their includes, one upon the other: which value wins, what it replaced, and whether that was meant."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from genever.errors import COMMAND_LINE, Place, Problem, listed, nearest, shown_path
from genever.language._config import Binding, Key, MacroBinding, Origin
from genever.language._parse import Assignment, Include, Statement, parse
from genever.language._parts import Parts
from genever.language._start import FROZEN
from genever.language._values import UNREADABLE, Reference, mapped, shown, source

__all__ = ["Layers"]

#: Beyond this a file is no experiment, and would take more than a second to read. A frozen file, which holds a value on one
#: line and all includes in one, was read within these bounds before.
MAX_BYTES = 64 << 10
MAX_LINE = 4000
MAX_INCLUDES = 32


@dataclass(frozen=True)
class _Open:
    """A file that is being read, and the include statement that led to it."""

    path: Path
    shown: str
    included_at: Place | None


@dataclass
class Layers:
    """Collects bindings; a later one wins."""

    parts: Parts
    bindings: dict[Key, Binding] = field(default_factory=dict)
    macros: dict[str, MacroBinding] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    readable: bool = True
    _bytes: int = 0
    _open: list[_Open] = field(default_factory=list)
    _includers: dict[str, set[str]] = field(default_factory=dict)

    def add_file(self, path: Path, included_at: Place | None = None, written: str = "") -> None:
        """Reads a file and, where it says so, the files that it includes.

        Args:
            included_at: the include statement that names it; written: as what.
        """
        name = shown_path(path)
        text = self._text_of(path, included_at or Place(name, 1), written)
        if text is None:
            return
        self._bytes += max(len(text), 1 << 10)
        self._includers.setdefault(name, set()).update(opened.shown for opened in self._open)
        self._open.append(_Open(Path(os.path.realpath(path)), name, included_at))
        for statement in parse(text, name):
            match statement:
                case Include(file, place):
                    self._include(file, place)
                case Assignment():
                    self._assign(statement, "file")
                case Problem():
                    self._complain(statement)
        self._open.pop()

    def copy(self) -> Layers:
        """The same layers, upon which others may be laid."""
        return replace(self, bindings=dict(self.bindings), macros=dict(self.macros), problems=list(self.problems))

    def add_bindings(self, bindings: Sequence[str]) -> None:
        """Reads what `-b` says; it wins over every file."""
        for line, text in enumerate(bindings, start=1):
            place = Place(COMMAND_LINE, line)
            if refusal := _refusal_of_binding(text):
                self._complain(Problem.at(place, refusal))
                continue
            for statement in _parsed_binding(text.strip()):
                match statement:
                    case Assignment():
                        self._assign(replace(statement, place=place), "-b")
                    case Problem():
                        self._complain(replace(statement, line=line))
                    case Include(file):
                        self._complain(Problem.at(place, f"-b includes {file!r}. Includes belong into the gin file."))

    def _complain(self, problem: Problem) -> None:
        self.problems.append(problem)
        self.readable = False

    def _warn(self, place: Place, message: str) -> None:
        self.problems.append(Problem.at(place, message, "warning"))

    def _include(self, file: str, place: Place) -> None:
        path = self._open[-1].path.parent / os.path.expanduser(file.replace("\0", "?"))
        chain, real = [opened.path for opened in self._open], Path(os.path.realpath(path))
        if real in chain:
            cycle = [opened.shown for opened in self._open[chain.index(real) :]]
            message = f"include {file!r} closes a cycle: {' -> '.join([*cycle, cycle[0]])}. Take one of these includes out."
            self.problems.append(Problem.at(place, message))
        elif len(self._open) >= MAX_INCLUDES:
            message = f"include {file!r} lies more than {MAX_INCLUDES} includes deep. Include fewer files in each other."
            self.problems.append(Problem.at(place, message))
        elif self._bytes > 4 * MAX_BYTES:
            message = (
                f"include {file!r} makes this experiment longer than {4 * MAX_BYTES >> 10} KiB. Include less, or less often."
            )
            self._complain(Problem.at(place, message))
        else:
            self.add_file(path, place, file)

    def _text_of(self, path: Path, place: Place, included: str) -> str | None:
        text, complaint = read_text(path, included)
        if complaint:
            self.problems.append(Problem.at(place, complaint))
            self.complete = self.readable = False
        return text

    def _assign(self, statement: Assignment, origin: Origin) -> None:
        if not statement.parameter:
            self._assign_macro(statement)
            return
        value = mapped(statement.value, self._with_full_names)
        part = self.parts.full_name(statement.part) or statement.part
        key = Key(statement.scope, part, statement.parameter)
        new = Binding(key, value, statement.place, origin, statement.value, statement.part)
        if old := self.bindings.pop(key, None):
            self._judge(str(key), old, new)
            new = replace(new, replaced=(*old.replaced, replace(old, replaced=())))
        self.bindings[key] = new

    def _assign_macro(self, statement: Assignment) -> None:
        name = f"{statement.scope}/{statement.part}" if statement.scope else statement.part
        new = MacroBinding(name, mapped(statement.value, self._with_full_names), statement.place)
        if old := self.macros.pop(name, None):
            self._judge(f"%{name}", old, new)
            new = replace(new, replaced=(*old.replaced, replace(old, replaced=())))
        self.macros[name] = new

    def _with_full_names(self, leaf: object) -> object:
        if isinstance(leaf, Reference):
            return replace(leaf, part=self.parts.full_name(leaf.part) or leaf.part)
        return leaf

    def _judge(self, key: str, old: Binding | MacroBinding, new: Binding | MacroBinding) -> None:
        """Whether a value was meant to replace another."""
        if old.value is UNREADABLE or new.value is UNREADABLE:
            return
        if old.place.file == new.place.file:
            if old.place.line != new.place.line or new.place.file == COMMAND_LINE:
                self._warn(
                    new.place, f"{key} was already set to {shown(old.value)} at {old.place}. Leave one of the two out."
                )
        elif self._stood_below(old, new) and source(old.value) != source(new.value):
            self._warn(
                self._include_below(old.place.file),
                f"This include sets {key} to {shown(new.value)} ({new.place}) and undoes {shown(old.value)} of {old.place}. "
                "Move the include above it.",
            )

    def _stood_below(self, old: Binding | MacroBinding, new: Binding | MacroBinding) -> bool:
        """Whether a value is that of an include that the old one was to override."""
        is_read_again = any(earlier.place == new.place for earlier in old.replaced)
        return is_read_again or old.place.file in self._includers.get(new.place.file, ())

    def _include_below(self, file: str) -> Place:
        """The include statement of a file that is being followed; of the file that is read, where that one is closed."""
        files = [opened.shown for opened in self._open]
        opened = self._open[files.index(file) + 1] if file in files[:-1] else self._open[-1]
        assert opened.included_at is not None
        return opened.included_at


def read_text(path: Path, included: str = "") -> tuple[str | None, str]:
    """The text of a gin file, or why there is none."""
    what = f"include {included!r}" if included else "The file"
    is_frozen = path.name == FROZEN
    try:
        if path.is_dir():
            return None, f"{what} is a directory ({shown_path(path)}). Name a gin file in it{_gin_files(path)}."
        if not path.exists():
            return None, f"{what} does not exist: {shown_path(path)}.{_like(path)}"
        if not path.is_file() or (path.stat().st_size > MAX_BYTES and not is_frozen):
            return None, f"{what} is not a text file of at most {MAX_BYTES >> 10} KiB ({shown_path(path)}). Name a gin file."
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} is {error.object[error.start]:#04x}"
        return None, f"{what} is not UTF-8 text: {byte} ({shown_path(path)}). Save it as UTF-8."
    except (OSError, ValueError) as error:
        return None, f"{what} cannot be read: {getattr(error, 'strerror', None) or error} ({shown_path(path)})."
    long = next((n for n, line in enumerate(text.splitlines(), 1) if len(line) > MAX_LINE), None)
    if long and not is_frozen:
        return None, f"{what} has more than {MAX_LINE} characters in line {long} ({shown_path(path)}). Write shorter lines."
    if not included and not text.strip():
        return (
            None,
            "The file is empty. Write at least train.data, train.backbone, train.loss, train.sampler and train.steps.",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n"), ""


@lru_cache(maxsize=4096)
def _parsed_binding(text: str) -> tuple[Statement, ...]:
    """What is said by `-b`; the variants of a sweep say much of it again."""
    return tuple(parse(text, COMMAND_LINE))


def _gin_files(folder: Path) -> str:
    names = sorted(found.name for found in folder.glob("*.gin"))
    return f", such as {listed(names[:3])}" if names else ""


def _like(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f" The directory {shown_path(folder)} does not exist either."
    names = tuple(sorted(found.name for found in folder.glob("*.gin") if found.name != path.name))
    if close := nearest(path.name, names):
        return f" Did you mean {shown_path(folder / close[0])}?"
    return f" The directory holds: {listed(names, 10)}." if names else " The directory holds no gin file."


def _refusal_of_binding(text: str) -> str | None:
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if first in ("include", "import", "from"):
        return f"{text!r} is not a binding. Write {first} statements into the gin file; -b takes 'Part.parameter = value'."
    if "=" not in text:
        return f"{text!r} has no '='. Write -b 'Part.parameter = value'."
    return None
