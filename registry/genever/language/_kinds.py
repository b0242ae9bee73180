"""Kinds of values: whether a value is of a kind, and what to say where it is not."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from genever.errors import listed, nearest
from genever.language._values import Reference, Unreadable, leaves, shown
from genever.slots import SLOTS

__all__ = [
    "BOUNDS",
    "PROTOCOLS",
    "SEQUENCES",
    "WORDS",
    "Anything",
    "Bounded",
    "Complaint",
    "Either",
    "Guarded",
    "Kind",
    "Listed",
    "Mapped",
    "OneOf",
    "Part",
    "Plain",
    "Sized",
    "Slots",
    "names_run",
    "slots_in",
]

PROTOCOLS = {slot.capitalize(): slot for slot in SLOTS}
SEQUENCES: dict[str, tuple[type, ...]] = {
    "Sequence": (list, tuple),
    "Iterable": (list, tuple),
    "Collection": (list, tuple),
    "list": (list,),
    "List": (list,),
    "tuple": (tuple,),
    "Tuple": (tuple,),
}
WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str": "a text in quotes",
    "RunName": "the name of a run in quotes",
    "None": "None",
}
BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "ge": (operator.ge, ">="),
    "gt": (operator.gt, ">"),
    "le": (operator.le, "<="),
    "lt": (operator.lt, "<"),
}


class Slots(Protocol):
    """What a catalog knows of slots."""

    def slot_of(self, name: str) -> str | None:
        """The slot that a part fills; None = not known, so nothing is said about it."""
        ...

    def choices(self, slot: str) -> tuple[str, ...]:
        """The parts of a slot, as short as they can be written."""
        ...


@dataclass(frozen=True)
class Complaint:
    """Why a value does not fit.

    Args:
        where: the place inside of the value, such as '[0]'.
        hint: what to do; '' = what is wanted says enough.
    """

    wanted: str
    found: str
    where: str = ""
    hint: str = ""

    def about(self, key: object) -> str:
        """The whole sentence."""
        return f"{key}{self.where} wants {self.wanted}, not {self.found}.{self.hint and ' '}{self.hint}"


class Kind(Protocol):
    """An annotation, understood."""

    @property
    def wanted(self) -> str: ...
    def complaint(self, value: object, slots: Slots) -> Complaint | None: ...
    def normal(self, value: object) -> object:
        """A fitting value as a part should get it: a whole number where only a float is wanted becomes one."""
        ...

    def example(self, slots: Slots) -> str:
        """Some value that fits, as gin text."""
        ...


@dataclass(frozen=True)
class Anything:
    """An annotation that says nothing that could be checked here."""

    wanted: str = "any value"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        return None

    def normal(self, value: object) -> object:
        return value

    def example(self, slots: Slots) -> str:
        return "..."


@dataclass(frozen=True)
class Plain:
    """int, float, bool, str, the name of a run, or None."""

    name: str

    @property
    def wanted(self) -> str:
        return WORDS[self.name]

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        kinds = {"int": int, "float": (int, float), "bool": bool, "str": str, "RunName": str, "None": type(None)}
        right = isinstance(value, kinds[self.name]) and (self.name == "bool" or not isinstance(value, bool))
        return None if right else Complaint(self.wanted, described(value), hint=self._hint(value, slots))

    def _hint(self, value: object, slots: Slots) -> str:
        if isinstance(value, str) and self.name not in ("str", "RunName"):
            try:
                inner = ast.literal_eval(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return ""
            return "" if self.complaint(inner, slots) else f"Leave out the quotes: {shown(inner)}."
        if isinstance(value, float) and self.name == "int" and value.is_integer() and abs(value) < 1e15:
            return f"Write {int(value)}."
        if type(value) is int and self.name == "bool" and value in (0, 1):
            return f"Write {bool(value)}."
        return ""

    def normal(self, value: object) -> object:
        return float(value) if self.name == "float" and isinstance(value, int) and abs(value) < 2**53 else value

    def example(self, slots: Slots) -> str:
        return {"int": "1", "float": "1.0", "bool": "True", "str": "'...'", "RunName": "'...'", "None": "None"}[self.name]


@dataclass(frozen=True)
class OneOf:
    """Literal[...]."""

    values: tuple[object, ...]

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        if any(value == allowed and type(value) is type(allowed) for allowed in self.values):
            return None
        close = (
            nearest(value, tuple(allowed for allowed in self.values if isinstance(allowed, str)))
            if isinstance(value, str)
            else ()
        )
        return Complaint(self.wanted, shown(value), hint=f"Did you mean {close[0]!r}?" if close else "")

    def normal(self, value: object) -> object:
        return value

    def example(self, slots: Slots) -> str:
        return repr(self.values[0])


@dataclass(frozen=True)
class Part:
    """A slot's protocol."""

    slot: str

    @property
    def wanted(self) -> str:
        return f"a part of the slot {self.slot}"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        slot = slots.slot_of(value.part) if isinstance(value, Reference) else ""
        if slot in (None, self.slot):
            return None
        found = f"{value.part} of the slot {slot}" if isinstance(value, Reference) else described(value)
        if isinstance(value, str) and value in slots.choices(self.slot):
            return Complaint(self.wanted, found, hint=f"Write @{value}().")
        return Complaint(self.wanted, found, hint=f"Choose from: {listed(slots.choices(self.slot), 12)}.")

    def normal(self, value: object) -> object:
        return value

    def example(self, slots: Slots) -> str:
        return f"@{next(iter(slots.choices(self.slot)), 'Name')}()"


@dataclass(frozen=True)
class Bounded:
    """Annotated[kind, Ge(...), ...]."""

    kind: Kind
    bounds: tuple[tuple[str, float], ...]

    @property
    def wanted(self) -> str:
        return f"{self.kind.wanted} {' and '.join(f'{BOUNDS[name][1]} {bound}' for name, bound in self.bounds)}"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        if complaint := self.kind.complaint(value, slots):
            return complaint
        inside = not isinstance(value, int | float) or all(BOUNDS[name][0](value, bound) for name, bound in self.bounds)
        return None if inside else Complaint(self.wanted, shown(value))

    def normal(self, value: object) -> object:
        return self.kind.normal(value)

    def example(self, slots: Slots) -> str:
        low = next((bound for name, bound in self.bounds if name in ("ge", "gt")), None)
        high = next((bound for name, bound in self.bounds if name in ("le", "lt")), None)
        if low is None or not isinstance(self.kind, Plain):
            return self.kind.example(slots)
        if self.kind.name == "int":
            return str(low + 1 if ("gt", low) in self.bounds else max(low, 1))
        return str(float((low + high) / 2 if high is not None else low + 1))


@dataclass(frozen=True)
class Sized:
    """Annotated[kind, Len(...)]: a text, list or mapping of some length.

    Args:
        low: the least number of items.
        high: the greatest. None = any.
    """

    kind: Kind
    low: int
    high: int | None

    @property
    def wanted(self) -> str:
        what, comma, items = self.kind.wanted.partition(",")
        return f"{what} of {self._length()}{comma}{items}"

    def _length(self) -> str:
        unit = "character" if self.kind == Plain("str") else "entry" if isinstance(self.kind, Mapped) else "item"
        units = "entries" if unit == "entry" else f"{unit}s"
        if self.high is None:
            return f"at least {self.low} {unit if self.low == 1 else units}"
        if self.low == self.high or self.low == 0:
            return f"{'' if self.low else 'at most '}{self.high} {unit if self.high == 1 else units}"
        return f"{self.low} to {self.high} {units}"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        complaint = self.kind.complaint(value, slots)
        if complaint and not complaint.where:
            return replace(complaint, wanted=self.wanted, hint=complaint.hint if self.low <= 1 else "")
        # What is said of one item says less than what is wrong with the whole.
        fits = not isinstance(value, str | list | tuple | dict) or self._fits(value)
        return complaint if fits else Complaint(self.wanted, described(value))

    def _fits(self, value: Collection[object]) -> bool:
        return self.low <= len(value) <= (len(value) if self.high is None else self.high)

    def normal(self, value: object) -> object:
        return self.kind.normal(value)

    def example(self, slots: Slots) -> str:
        if isinstance(self.kind, Listed) and self.kind.each:
            return replace(self.kind, each=None, places=(self.kind.each,) * max(self.low, 1)).example(slots)
        return self.kind.example(slots)


@dataclass(frozen=True)
class Either:
    """A union."""

    kinds: tuple[Kind, ...]

    @property
    def wanted(self) -> str:
        # What tells of its items comes last, so that its end is theirs.
        return " or ".join(sorted((kind.wanted for kind in self.kinds), key=lambda wanted: "," in wanted))

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        complaints = [kind.complaint(value, slots) for kind in self.kinds]
        if None in complaints:
            return None
        found = [complaint for complaint in complaints if complaint]
        if inside := next((complaint for complaint in found if complaint.where), None):
            return inside
        # The alternative that has most to say is the one that was meant.
        best = max(found, key=lambda complaint: (complaint.found != described(value), bool(complaint.hint)))
        return replace(best, wanted=self.wanted)

    def normal(self, value: object) -> object:
        fitting = [kind for kind in self.kinds if kind.complaint(value, _NO_SLOTS) is None]
        exact = any(_bare(kind) == Plain("int") for kind in fitting)
        return value if exact or not fitting else fitting[0].normal(value)

    def example(self, slots: Slots) -> str:
        return self.kinds[0].example(slots)


@dataclass(frozen=True)
class Listed:
    """Sequence, list or tuple; with `each` for every item or `places` for the items in their order."""

    name: str
    each: Kind | None = None
    places: tuple[Kind, ...] | None = None

    @property
    def types(self) -> tuple[type, ...]:
        return SEQUENCES[self.name]

    @property
    def wanted(self) -> str:
        what = "a tuple" if self.types == (tuple,) else "a list"
        if self.places is not None:
            return f"{what} of {len(self.places)} items ({', '.join(kind.wanted for kind in self.places)})"
        return f"{what}, each item {self.each.wanted}" if self.each else what

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        if not isinstance(value, list | tuple) or not isinstance(value, self.types) or not self._counts(value):
            return Complaint(self.wanted, described(value), hint=self._hint(value, slots))
        found = ((n, kind.complaint(item, slots)) for n, (kind, item) in enumerate(self._pairs(value)))
        return next((replace(c, where=f"[{n}]{c.where}") for n, c in found if c), None)

    def _counts(self, value: Sequence[object]) -> bool:
        return self.places is None or len(value) == len(self.places)

    def _pairs(self, value: Sequence[object]) -> Iterator[tuple[Kind, object]]:
        kinds = self.places if self.places is not None else (self.each or Anything(),) * len(value)
        return zip(kinds, value, strict=True)

    def _hint(self, value: object, slots: Slots) -> str:
        items = value if isinstance(value, list | tuple) else [value]
        meant = tuple(items) if self.types == (tuple,) else list(items)
        return "" if isinstance(value, self.types) or self.complaint(meant, slots) else f"Write {shown(meant)}."

    def normal(self, value: object) -> object:
        assert isinstance(value, list | tuple)
        return type(value)(kind.normal(item) for kind, item in self._pairs(value))

    def example(self, slots: Slots) -> str:
        items = [kind.example(slots) for kind in self.places or ((self.each or Anything()),)]
        if self.types == (tuple,):
            return f"({', '.join(items)}{',' if len(items) == 1 else ''})"
        return f"[{', '.join(items)}]"


@dataclass(frozen=True)
class Mapped:
    """Mapping or dict."""

    key: Kind
    item: Kind

    types = (dict,)

    @property
    def wanted(self) -> str:
        return f"a mapping, each key {self.key.wanted} and each value {self.item.wanted}"

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        if not isinstance(value, dict):
            return Complaint(self.wanted, described(value), hint="Write {'name': ...}.")
        for key, item in value.items():
            if complaint := self.key.complaint(key, slots):
                return replace(complaint, where=f" (key {shown(key)})")
            if complaint := self.item.complaint(item, slots):
                return replace(complaint, where=f"[{shown(key)}]{complaint.where}")
        return None

    def normal(self, value: object) -> object:
        assert isinstance(value, Mapping)
        return {key: self.item.normal(item) for key, item in value.items()}

    def example(self, slots: Slots) -> str:
        return f"{{{self.key.example(slots).replace('...', 'name')}: {self.item.example(slots)}}}"


def described(value: object) -> str:
    """A value and, where its text alone does not tell, its type."""
    match value:
        case Reference():
            return f"the part {shown(value)}"
        case str():
            return f"the text {shown(value)}"
        case None:
            return "None"
        case _:
            return shown(value)


@dataclass(frozen=True)
class Guarded:
    """Says nothing about a value that holds something unreadable."""

    kind: Kind

    @property
    def wanted(self) -> str:
        return self.kind.wanted

    def complaint(self, value: object, slots: Slots) -> Complaint | None:
        return None if _holds_unreadable(value) else self.kind.complaint(value, slots)

    def normal(self, value: object) -> object:
        fits = not _holds_unreadable(value) and self.kind.complaint(value, _NO_SLOTS) is None
        return self.kind.normal(value) if fits else value

    def example(self, slots: Slots) -> str:
        return self.kind.example(slots)


def _holds_unreadable(value: object) -> bool:
    return any(isinstance(leaf, Unreadable) for leaf in leaves(value))


class _NoSlots:
    def slot_of(self, name: str) -> None:
        return None

    def choices(self, slot: str) -> tuple[str, ...]:
        return ()


_NO_SLOTS = _NoSlots()


def _bare(kind: Kind) -> Kind:
    return kind.kind if isinstance(kind, Bounded) else kind


def slots_in(kind: Kind) -> Iterator[str]:
    """The slots whose parts an annotation takes, anywhere inside of it."""
    match kind:
        case Part(slot):
            yield slot
        case Guarded(inner) | Bounded(inner) | Sized(inner):
            yield from slots_in(inner)
        case Either(kinds):
            for inner in kinds:
                yield from slots_in(inner)
        case Listed(_, each, places):
            for inner in (*(places or ()), *([each] if each else [])):
                yield from slots_in(inner)
        case Mapped(_, item):
            yield from slots_in(item)
        case _:
            return


def names_run(kind: Kind) -> bool:
    """Whether a text of this kind is the name of a run."""
    match kind:
        case Plain(name):
            return name == "RunName"
        case Guarded(inner) | Bounded(inner) | Sized(inner):
            return names_run(inner)
        case Either(kinds):
            return any(map(names_run, kinds))
        case _:
            return False
