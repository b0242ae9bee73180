"""What stands on the right of a gin binding: literals, references to parts, macros."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["UNREADABLE", "MacroUse", "Reference", "Unreadable", "depth_of", "leaves", "mapped", "shown", "source"]


@dataclass(frozen=True)
class Reference:
    """`@outer/inner/Name()`.

    Args:
        scopes: outermost first.
        part: its full name where it is known, else the name as it was written.
        called: whether it ends with '()'.
    """

    scopes: tuple[str, ...]
    part: str
    called: bool


@dataclass(frozen=True)
class MacroUse:
    """`%NAME`."""

    name: str


class Unreadable:
    """Stands for a value of which an error was reported already: nothing more is said about it."""


UNREADABLE = Unreadable()


def leaves(value: object) -> Iterator[object]:
    """Everything inside a value that is not a container."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as mapping:
                waiting += [*reversed(mapping.values()), *reversed(mapping.keys())]
            case list() | tuple() as sequence:
                waiting += reversed(sequence)
            case leaf:
                yield leaf


def mapped(value: object, change: Callable[[object], object]) -> object:
    """The same value with every leaf changed."""
    match value:
        case dict():
            return {mapped(key, change): mapped(item, change) for key, item in value.items()}
        case list():
            return [mapped(item, change) for item in value]
        case tuple():
            return tuple(mapped(item, change) for item in value)
        case leaf:
            return change(leaf)


def depth_of(value: object) -> int:
    """How many containers lie in each other."""
    depth, level = 0, [value]
    while containers := [item for item in level if isinstance(item, dict | list | tuple)]:
        depth, level = depth + 1, []
        for container in containers:
            level += [*container, *container.values()] if isinstance(container, dict) else container
    return depth


def source(value: object) -> str:
    """The text that gin reads as this value, on one line."""
    match value:
        case Reference(scopes, part, called):
            return f"@{'/'.join([*scopes, part])}{'()' if called else ''}"
        case MacroUse(name):
            return f"%{name}"
        case dict():
            return "{" + ", ".join(f"{source(key)}: {source(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(source, value)) + "]"
        case tuple():
            return "(" + ", ".join(map(source, value)) + ("," if len(value) == 1 else "") + ")"
        case Unreadable():
            return "?"
        case _:
            return repr(value)


def shown(value: object) -> str:
    """The text of a value, short enough for a message."""
    text = source(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
