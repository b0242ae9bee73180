"""Annotations, which are known as source text alone, to kinds of values."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from genever.language._kinds import (
    BOUNDS,
    PROTOCOLS,
    SEQUENCES,
    WORDS,
    Anything,
    Bounded,
    Either,
    Guarded,
    Kind,
    Listed,
    Mapped,
    OneOf,
    Part,
    Plain,
    Sized,
)

__all__ = ["kind_of"]

#: What the arguments of metadata mean by their place, where it has more than one or another name than they.
_PLACES = {"Len": ("min_length", "max_length"), "MinLen": ("min_length",), "MaxLen": ("max_length",), "Interval": ()}
_MAPPINGS = ("Mapping", "dict", "Dict", "MutableMapping")


@cache
def kind_of(annotation: str) -> Kind:
    """What an annotation's source text means. What is not understood takes anything."""
    try:
        return Guarded(_kind(ast.parse(annotation.strip(), mode="eval").body))
    except (SyntaxError, ValueError, RecursionError):
        return Anything()


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
            return _generic(_bare_name(target), items, ast.unparse(node))
        case _:
            name = _bare_name(node)
    if name in PROTOCOLS:
        return Part(PROTOCOLS[name])
    if name in WORDS:
        return Plain(name)
    return _generic(name, [], ast.unparse(node))


def _bare_name(node: ast.expr) -> str:
    """A name that is understood here; '' for one with a path, which is a stranger's, whatever its last part."""
    return node.id if isinstance(node, ast.Name) else ""


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
    if name in SEQUENCES:
        return _sequence(name, items)
    return Anything(text)


def _sequence(name: str, items: list[ast.expr]) -> Kind:
    ellipsis = [isinstance(item, ast.Constant) and item.value is ... for item in items]
    if SEQUENCES[name] == (tuple,) and items and not any(ellipsis):
        return Listed(name, places=tuple(map(_kind, items)))
    return Listed(name, each=_kind(items[0]) if items else None)


def _union(kinds: list[Kind]) -> Kind:
    flat = [inner for kind in kinds for inner in (kind.kinds if isinstance(kind, Either) else (kind,))]
    return next((kind for kind in flat if isinstance(kind, Anything)), Either(tuple(flat)))


def _annotated(kind: Kind, metadata: list[ast.expr]) -> Kind:
    said = [pair for item in metadata if isinstance(item, ast.Call) for pair in _limits(item)]
    limits = [(name, value) for name, value in said if value is not None]
    bounds = tuple((name, value) for name, value in limits if name in BOUNDS)
    low = [value for name, value in limits if name == "min_length"]
    high = [value for name, value in limits if name == "max_length"]
    kind = Bounded(kind, bounds) if bounds else kind
    return Sized(kind, max(low, default=0), min(high, default=None)) if any(low) or high else kind


def _limits(metadata: ast.Call) -> Iterator[tuple[str, Any]]:
    """What Ge(1), Interval(ge=0, lt=1) or Len(1, 3) says, by name."""
    name = _bare_name(metadata.func)
    said = [*zip(_PLACES.get(name, (name.lower(),)), metadata.args, strict=False)]
    said += [(word.arg or "", word.value) for word in metadata.keywords]
    for limit, value in said:
        # A limit that is no literal is passed over.
        with suppress(ValueError):
            yield limit, ast.literal_eval(value)
