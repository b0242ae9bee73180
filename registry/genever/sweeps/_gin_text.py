"""From a value of a YAML file to gin text."""

from __future__ import annotations

import re

from genever.errors import Problem
from genever.language._parse import Assignment, parse
from genever.language._values import UNREADABLE, source
from genever.sweeps._document import Fields, Items, Node, Scalar
from genever.sweeps._section import Mistakes, unique

__all__ = ["KEY", "gin_text", "values_by_key"]

_NAME = r"[A-Za-z_]\w*"
#: 'scope/Part.parameter', or 'NAME' for a macro.
KEY = re.compile(rf"({_NAME}/)*{_NAME}(\.{_NAME})*")


def gin_text(node: Node, mistakes: Mistakes) -> str:
    """A value as gin reads it. A text that begins with '@', '%' or '(' is gin already: a part, a macro, a tuple."""
    match node:
        case Items(items):
            return "[" + ", ".join(gin_text(item, mistakes) for item in items) + "]"
        case Fields(fields):
            return "{" + ", ".join(f"{_key_text(key)}: {gin_text(value, mistakes)}" for key, value in fields) + "}"
        case Scalar(text) if isinstance(node.value, str) and text.startswith(("@", "%", "(")):
            if complaint := _complaint(text):
                mistakes.add(node.place, complaint)
            return text
    return source(node.value)


def _key_text(key: Scalar) -> str:
    return source(key.value)


def _complaint(text: str) -> str | None:
    """Why a text is not one value of gin."""
    found = [] if "\n" in text or "#" in text else list(parse(f"x.x = {text}", ""))
    match found:
        case [Assignment(value=value)] if value is not UNREADABLE:
            return None
        case [Problem(message=message), *_]:
            return message.replace(f"'x.x = {text}'", repr(text))
    return f"{text!r} is not one value of gin. Write '@Name()', '%NAME' or '(1, 2)'."


def values_by_key(node: Fields, name: str, mistakes: Mistakes) -> dict[str, Node]:
    """The values of a mapping whose keys are those of bindings.

    Args:
        name: of the mapping in messages.
    """
    values = unique(node, name, mistakes)
    for key, _ in node.fields:
        if not KEY.fullmatch(key.text):
            message = f"{key.text!r} is not a key. Write 'Part.parameter', 'scope/Part.parameter' or the NAME of a macro."
            mistakes.add(key.place, message)
            values.pop(key.text, None)
    return values
