"""Whether a value fits an annotation, which is known as source text alone."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from genever.language._problems import did_you_mean
from genever.language._values import Reference, Unreadable, leaves, shown
from genever.slots import SLOTS

__all__ = ["Kind", "kind_of"]

PROTOCOLS = {slot.capitalize(): slot for slot in SLOTS}
_SEQUENCES: dict[str, tuple[type, ...]] = {
    "Sequence": (list, tuple),
    "Iterable": (list, tuple),
    "Collection": (list, tuple),
    "list": (list,),
    "List": (list,),
    "tuple": (tuple,),
    "Tuple": (tuple,),
}
_MAPPINGS = ("Mapping", "dict", "Dict", "MutableMapping")
_PLAIN = {"int": "a whole number", "float": "a number", "bool": "True or False", "str": "a text in quotes", "None": "None"}
_BOUNDS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "ge": (operator.ge, ">="),
    "gt": (operator.gt, ">"),
    "le": (operator.le, "<="),
    "lt": (operator.lt, "<"),
}

SlotOf = Callable[[str], "str | None"]


class Kind(Protocol):
    """An annotation, understood."""

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        """What is wrong with a value, as the end of 'x wants ...'; None = it fits.

        Args:
            slot_of: the slot that a part of a full name fills; None = not known.
        """
        ...

    def normal(self, value: object) -> object:
        """The value as a part should get it: a whole number where only a float is wanted becomes one."""
        ...

    @property
    def wanted(self) -> str: ...
    def example(self, part_of: Callable[[str], str]) -> str:
        """Some value that fits, as gin text.

        Args:
            part_of: the name of some part of a slot.
        """
        ...


@dataclass(frozen=True)
class Anything:
    """An annotation that says nothing that could be checked here."""

    wanted: str = "any value"

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        return None

    def normal(self, value: object) -> object:
        return value

    def example(self, part_of: Callable[[str], str]) -> str:
        return "..."


@dataclass(frozen=True)
class Plain:
    """int, float, bool, str or None."""

    name: str

    @property
    def wanted(self) -> str:
        return _PLAIN[self.name]

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        kinds = {"int": int, "float": (int, float), "bool": bool, "str": str, "None": type(None)}
        right = isinstance(value, kinds[self.name]) and (self.name == "bool" or not isinstance(value, bool))
        return None if right else f"{self.wanted}, not {described(value)}{self._hint(value)}"

    def _hint(self, value: object) -> str:
        if isinstance(value, str) and self.name in ("int", "float", "bool", "None"):
            try:
                inner = ast.literal_eval(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return ""
            return f". Leave out the quotes: {shown(inner)}" if self.complaint(inner, _nothing) is None else ""
        if isinstance(value, float) and self.name == "int" and value.is_integer() and abs(value) < 1e15:
            return f". Write {int(value)}"
        if isinstance(value, int) and not isinstance(value, bool) and self.name == "bool" and value in (0, 1):
            return f". Write {bool(value)}"
        return ""

    def normal(self, value: object) -> object:
        return float(value) if self.name == "float" and isinstance(value, int) and abs(value) < 2**53 else value

    def example(self, part_of: Callable[[str], str]) -> str:
        return {"int": "1", "float": "1.0", "bool": "True", "str": "'...'", "None": "None"}[self.name]


@dataclass(frozen=True)
class OneOf:
    """Literal[...]."""

    values: tuple[object, ...]

    @property
    def wanted(self) -> str:
        return f"one of {', '.join(map(repr, self.values))}"

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        if any(value == allowed and type(value) is type(allowed) for allowed in self.values):
            return None
        texts = [allowed for allowed in self.values if isinstance(allowed, str)]
        hint = did_you_mean(value, texts).rstrip("?") if isinstance(value, str) else ""
        return f"{self.wanted}, not {shown(value)}" + (f".{hint}?" if hint else "")

    def normal(self, value: object) -> object:
        return value

    def example(self, part_of: Callable[[str], str]) -> str:
        return repr(self.values[0])


@dataclass(frozen=True)
class Part:
    """A slot's protocol."""

    slot: str

    @property
    def wanted(self) -> str:
        return f"a part of the slot {self.slot}"

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        if not isinstance(value, Reference):
            return f"{self.wanted}, not {described(value)}"
        slot = slot_of(value.part)
        return None if slot in (None, self.slot) else f"{self.wanted}, not {value.part}, which is of the slot {slot}"

    def normal(self, value: object) -> object:
        return value

    def example(self, part_of: Callable[[str], str]) -> str:
        return f"@{part_of(self.slot)}()"


@dataclass(frozen=True)
class Bounded:
    """Annotated[kind, Ge(...), ...]."""

    kind: Kind
    bounds: tuple[tuple[str, float], ...]

    @property
    def wanted(self) -> str:
        return f"{self.kind.wanted} {' and '.join(f'{_BOUNDS[name][1]} {bound}' for name, bound in self.bounds)}"

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        if self.kind.complaint(value, slot_of):
            return (
                f"{self.wanted}, not {described(value)}"
                if not isinstance(self.kind, Plain)
                else self.kind.complaint(value, slot_of)
            )
        inside = not isinstance(value, int | float) or all(_BOUNDS[name][0](value, bound) for name, bound in self.bounds)
        return None if inside else f"{self.wanted}, not {shown(value)}"

    def normal(self, value: object) -> object:
        return self.kind.normal(value)

    def example(self, part_of: Callable[[str], str]) -> str:
        low = next((bound for name, bound in self.bounds if name in ("ge", "gt")), None)
        high = next((bound for name, bound in self.bounds if name in ("le", "lt")), None)
        if low is None or not isinstance(self.kind, Plain):
            return self.kind.example(part_of)
        if self.kind.name == "int":
            return str(low + 1 if ("gt", low) in self.bounds else max(low, 1))
        return str(float((low + high) / 2 if high is not None else low + 1))


@dataclass(frozen=True)
class Either:
    """A union."""

    kinds: tuple[Kind, ...]

    @property
    def wanted(self) -> str:
        return " or ".join(kind.wanted for kind in self.kinds)

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        complaints = [kind.complaint(value, slot_of) for kind in self.kinds]
        if None in complaints:
            return None
        for kind, complaint in zip(self.kinds, complaints, strict=True):
            # The one alternative that is near has more to say than all of them together.
            if (complaint and ". " in complaint) or (isinstance(kind, Listed | Mapped) and isinstance(value, kind.types)):
                return complaint
        return f"{self.wanted}, not {described(value)}"

    def normal(self, value: object) -> object:
        fitting = [kind for kind in self.kinds if kind.complaint(value, _nothing) is None]
        exact = any(isinstance(_bare(kind), Plain) and _bare(kind) == Plain("int") for kind in fitting)
        return value if exact or not fitting else fitting[0].normal(value)

    def example(self, part_of: Callable[[str], str]) -> str:
        return self.kinds[0].example(part_of)


@dataclass(frozen=True)
class Listed:
    """Sequence, list or tuple; with `each` for every item or `places` for the items in their order."""

    name: str
    each: Kind | None = None
    places: tuple[Kind, ...] | None = None

    @property
    def types(self) -> tuple[type, ...]:
        return _SEQUENCES[self.name]

    @property
    def wanted(self) -> str:
        what = "a tuple" if self.types == (tuple,) else "a list"
        if self.places is not None:
            return f"{what} of {len(self.places)} ({', '.join(kind.wanted for kind in self.places)})"
        return f"{what} of {self.each.wanted}" if self.each else what

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        if not isinstance(value, self.types) or (isinstance(value, list | tuple) and not self._counts(value)):
            return f"{self.wanted}, not {described(value)}{self._hint(value)}"
        assert isinstance(value, list | tuple)
        found = [(n, kind.complaint(item, slot_of)) for n, (kind, item) in enumerate(self._pairs(value))]
        return next((f"as item {n} {complaint}" for n, complaint in found if complaint), None)

    def _counts(self, value: Sequence[object]) -> bool:
        return self.places is None or len(value) == len(self.places)

    def _pairs(self, value: Sequence[object]) -> Iterator[tuple[Kind, object]]:
        kinds = self.places if self.places is not None else (self.each or Anything(),) * len(value)
        return zip(kinds, value, strict=True)

    def _hint(self, value: object) -> str:
        brackets = "(...,)" if self.types == (tuple,) else "[...]"
        return "" if isinstance(value, self.types) else f". Write {brackets} around it"

    def normal(self, value: object) -> object:
        assert isinstance(value, list | tuple)
        return type(value)(kind.normal(item) for kind, item in self._pairs(value))

    def example(self, part_of: Callable[[str], str]) -> str:
        items = [kind.example(part_of) for kind in self.places or ((self.each or Anything()),)]
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
        return f"a mapping {{{self.key.wanted}: {self.item.wanted}}}"

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        if not isinstance(value, dict):
            return f"{self.wanted}, not {described(value)}"
        for key, item in value.items():
            if found := self.key.complaint(key, slot_of):
                return f"as a key {found}"
            if found := self.item.complaint(item, slot_of):
                return f"for {shown(key)} {found}"
        return None

    def normal(self, value: object) -> object:
        assert isinstance(value, Mapping)
        return {key: self.item.normal(item) for key, item in value.items()}

    def example(self, part_of: Callable[[str], str]) -> str:
        return f"{{{self.key.example(part_of).replace('...', 'name')}: {self.item.example(part_of)}}}"


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


@cache
def kind_of(annotation: str) -> Kind:
    """What an annotation's source text means. What is not understood takes anything."""
    try:
        return _Guarded(_kind(ast.parse(annotation.strip(), mode="eval").body))
    except (SyntaxError, ValueError, RecursionError):
        return Anything()


@dataclass(frozen=True)
class _Guarded:
    """Says nothing about a value that holds something unreadable."""

    kind: Kind

    @property
    def wanted(self) -> str:
        return self.kind.wanted

    def complaint(self, value: object, slot_of: SlotOf) -> str | None:
        return None if _holds_unreadable(value) else self.kind.complaint(value, slot_of)

    def normal(self, value: object) -> object:
        fits = not _holds_unreadable(value) and self.kind.complaint(value, _nothing) is None
        return self.kind.normal(value) if fits else value

    def example(self, part_of: Callable[[str], str]) -> str:
        return self.kind.example(part_of)


def _holds_unreadable(value: object) -> bool:
    return any(isinstance(leaf, Unreadable) for leaf in leaves(value))


def _nothing(part: str) -> None:
    return None


def _bare(kind: Kind) -> Kind:
    return kind.kind if isinstance(kind, Bounded) else kind


def _kind(node: ast.expr) -> Kind:
    match node:
        case ast.Constant(None):
            return Plain("None")
        case ast.Constant(str() as text):
            return _kind(ast.parse(text.strip(), mode="eval").body)
        case ast.BinOp(left, ast.BitOr(), right):
            return _union([_kind(left), _kind(right)])
        case ast.Subscript(target, inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(_last_name(target), items, ast.unparse(node))
        case _:
            name = _last_name(node)
    if name in PROTOCOLS:
        return Part(PROTOCOLS[name])
    if name in _PLAIN:
        return Plain(name)
    return _generic(name, [], ast.unparse(node))


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _generic(name: str, items: list[ast.expr], text: str) -> Kind:
    if name == "Literal" and items:
        return OneOf(tuple(ast.literal_eval(item) for item in items))
    if name == "Annotated" and items:
        return _annotated(_kind(items[0]), items[1:])
    if name in ("Optional", "Union"):
        return _union([*map(_kind, items), *([Plain("None")] if name == "Optional" else [])])
    if name in ("Final", "Required", "ClassVar") and items:
        return _kind(items[0])
    if name in _MAPPINGS:
        return Mapped(*map(_kind, items)) if len(items) == 2 else Mapped(Anything(), Anything())
    if name in _SEQUENCES:
        return _sequence(name, items)
    return Anything(text)


def _sequence(name: str, items: list[ast.expr]) -> Kind:
    ellipsis = [isinstance(item, ast.Constant) and item.value is ... for item in items]
    if _SEQUENCES[name] == (tuple,) and items and not any(ellipsis):
        return Listed(name, places=tuple(map(_kind, items)))
    return Listed(name, each=_kind(items[0]) if items else None)


def _union(kinds: list[Kind]) -> Kind:
    flat = [inner for kind in kinds for inner in (kind.kinds if isinstance(kind, Either) else (kind,))]
    return next((kind for kind in flat if isinstance(kind, Anything)), Either(tuple(flat)))


def _annotated(kind: Kind, metadata: list[ast.expr]) -> Kind:
    bounds: list[tuple[str, float]] = []
    for item in metadata:
        if isinstance(item, ast.Call):
            name = _last_name(item.func)
            given = [(name.lower(), arg) for arg in item.args] if name != "Interval" else []
            given += [(word.arg or "", word.value) for word in item.keywords]
            bounds += [(bound, ast.literal_eval(value)) for bound, value in given if bound in _BOUNDS]
    return Bounded(kind, tuple(bounds)) if bounds else kind
