"""An experiment as it was read: immutable, every value with its place and what it replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from genever.errors import Place, Problem, shown_path
from genever.language._parts import ROOT
from genever.language._values import MacroUse, Reference, leaves, source

__all__ = ["START", "Binding", "Config", "Key", "MacroBinding", "NamedRun"]

Origin = Literal["file", "-b", "start", "default"]


@dataclass(frozen=True, order=True)
class Key:
    """What a binding sets.

    Args:
        scope: such as 'outer/inner', or ''.
        part: its full name where it is known, else as written.
    """

    scope: str
    part: str
    parameter: str

    def __str__(self) -> str:
        return (f"{self.scope}/" if self.scope else "") + f"{self.part}.{self.parameter}"

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(self.scope.split("/")) if self.scope else ()


#: The run that a stage starts from.
START = Key("", ROOT, "start")


@dataclass(frozen=True)
class MacroBinding:
    """`NAME = value`."""

    name: str
    value: object
    place: Place
    replaced: tuple[MacroBinding, ...] = ()


@dataclass(frozen=True, eq=False)
class Binding:
    """One value. What is worked out of it is kept, since a thousand variants of an experiment have it in common.

    Args:
        value: with macros put in and full names.
        written: as it stands in the file.
        part: the part's name as it stands in the file.
        macros: those that went into the value, in order.
        replaced: the bindings of the same key that this one overrode, the oldest first.
    """

    key: Key
    value: object
    place: Place
    origin: Origin = "file"
    written: object = None
    part: str = ""
    macros: tuple[MacroBinding, ...] = ()
    replaced: tuple[Binding, ...] = ()

    @cached_property
    def source(self) -> str:
        """The value as gin text."""
        return source(self.value)

    @cached_property
    def statement(self) -> str:
        """The whole binding as gin text."""
        return f"{self.key} = {self.source}"

    @cached_property
    def leaves(self) -> tuple[object, ...]:
        """Everything inside the value that is not a container."""
        return tuple(leaves(self.value))

    @cached_property
    def references(self) -> tuple[Reference, ...]:
        """The parts that the value names."""
        return tuple(leaf for leaf in self.leaves if isinstance(leaf, Reference))

    @cached_property
    def macros_written(self) -> frozenset[str]:
        """The macros that the value names, as it stands in the file."""
        return frozenset(leaf.name for leaf in leaves(self.written) if isinstance(leaf, MacroUse))


@dataclass(frozen=True)
class NamedRun:
    """What the name of a run was found to mean.

    Args:
        written: the value in the file.
        run: the directory of the run, which has finished or was named by its path. None = there is none yet.
        pinned: how the run is named in a frozen file: '<experiment>/<id>', or its path.
        experiment: the gin file of that name, which stood in for a run that is not there yet.
    """

    written: str
    run: Path | None = None
    pinned: str = ""
    experiment: Path | None = None


@dataclass(frozen=True, eq=False)
class Config:
    """An experiment, read.

    Args:
        path: its gin file.
        name: such as 'digits/pretrain'.
        bindings: by key; those taken over from the start lie among them.
        start: what `train.start` means; None = from scratch.
        starts: all that the stages compose that this one goes back to, the nearest first, as far as they are still there.
        reads: what the other names of runs mean, by the binding that names them.
        problems: those found while reading.
        complete: False where an include is missing, so that an absent value means nothing.
        readable: False where a statement could not be read, so that an unused value means nothing.
    """

    path: Path
    name: str
    bindings: Mapping[Key, Binding]
    macros: Mapping[str, MacroBinding]
    problems: tuple[Problem, ...] = ()
    start: NamedRun | None = None
    starts: tuple[Mapping[Key, Binding], ...] = ()
    reads: Mapping[Key, NamedRun] = field(default_factory=dict)
    complete: bool = True
    readable: bool = True

    @property
    def file(self) -> str:
        """The gin file, as a user would write it."""
        return shown_path(self.path)

    @property
    def start_bindings(self) -> Mapping[Key, Binding]:
        """All that the start composes."""
        return self.starts[0] if self.starts else {}

    @property
    def knows_all_starts(self) -> bool:
        """Whether the last of its starts is from scratch."""
        first = self.starts[-1] if self.starts else self.bindings
        return START not in first or first[START].value is None

    @property
    def named_runs(self) -> dict[Key, NamedRun]:
        """Every run that the experiment needs, by the binding that names it."""
        return {**({START: self.start} if self.start else {}), **self.reads}
