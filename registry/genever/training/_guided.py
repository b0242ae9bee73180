"""Guidance that parts name, built with the stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from genever.slots import ComposedGuidance, Guidance

__all__ = ["with_built_guidance"]

Part = TypeVar("Part")


def with_built_guidance(part: Part, build: Callable[[Guidance], Guidance]) -> Part:
    """The same part, whatever guidance it names built, however deep; the part itself where nothing has to be."""
    return _built(part, build)


def _built(value: Any, build: Callable[[Guidance], Guidance]) -> Any:
    if isinstance(value, ComposedGuidance):
        return build(value)
    if is_dataclass(value) and not isinstance(value, type):
        given = {one.name: getattr(value, one.name) for one in fields(value) if one.init}
        return _unless_same(given, build, lambda changed: replace(value, **changed), value)
    if isinstance(value, Mapping):
        return _unless_same(value, build, lambda changed: {**value, **changed}, value)
    if isinstance(value, list | tuple):
        rows = dict(enumerate(value))
        return _unless_same(rows, build, lambda changed: type(value)({**rows, **changed}.values()), value)
    return value


def _unless_same(
    given: Mapping[Any, Any], build: Callable[[Guidance], Guidance], put: Callable[[dict[Any, Any]], Any], value: Any
) -> Any:
    """`value` itself, unless something in it has to be replaced."""
    changed = {key: new for key, old in given.items() if (new := _built(old, build)) is not old}
    return put(changed) if changed else value
