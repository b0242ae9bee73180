"""What is drawn: from a mapping of a sweep file to distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

from genever.errors import Place, listed, nearest
from genever.sweeps._distributions import Choice, Distribution, Int, LogUniform, Normal, Uniform
from genever.sweeps._document import Fields, Items, Node, Scalar
from genever.sweeps._gin_text import gin_text, values_by_key
from genever.sweeps._section import Mistakes, Section

__all__ = ["over"]

_EXAMPLE = "{AdamW.lr: {log_uniform: [1e-4, 1e-2]}}"
#: name -> (how it is made, whether two numbers will do, what it needs)
_BOUNDED: dict[str, tuple[Callable[..., Distribution], Callable[[float, float], bool], str]] = {
    "uniform": (Uniform, lambda low, high: low < high, "two numbers, the smaller first, such as {uniform: [0.0, 1.0]}"),
    "log_uniform": (
        LogUniform,
        lambda low, high: 0 < low < high,
        "two numbers above 0, the smaller first, such as {log_uniform: [1e-4, 1e-2]}",
    ),
    "normal": (Normal, lambda mean, std: std > 0, "a mean and a standard deviation above 0, such as {normal: [0.0, 1.0]}"),
    "int": (Int, lambda low, high: low < high, "two whole numbers, the smaller first, such as {int: [1, 8]}"),
}
_NAMES = (*_BOUNDED, "choice")


def over(section: Section) -> tuple[dict[str, Distribution], dict[str, Place]]:
    """What a section's `over` draws each key from, and where each stands."""
    node, label, mistakes = section.fields("over", _EXAMPLE), section.label("over"), section.mistakes
    if "over" not in section.nodes:
        section.missing("over", f"Say what is drawn, such as over: {_EXAMPLE}.")
    values = values_by_key(node, label, mistakes) if node else {}
    found = {key: distribution(value, f"{label}.{key}", mistakes) for key, value in values.items()}
    return {key: one for key, one in found.items() if one}, {key: value.place for key, value in values.items()}


def distribution(node: Node, label: str, mistakes: Mistakes) -> Distribution | None:
    """A distribution such as {uniform: [0, 1]}; None where it is wrong."""
    if not isinstance(node, Fields) or len(node.fields) != 1:
        hint = "Write {choice: [...]} to draw from a list." if isinstance(node, Items) else f"Write one of {listed(_NAMES)}."
        mistakes.add(node.place, f"{label} is {node}, which is no distribution. {hint}")
        return None
    ((name, value),) = node.fields
    if name.text not in _NAMES:
        close = nearest(name.text, _NAMES, 1)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {listed(_NAMES)}."
        mistakes.add(name.place, f"{label} is drawn from {name.text!r}, which is no distribution. {hint}")
        return None
    found, needs = _choice(value, mistakes) if name.text == "choice" else _bounded(name.text, value)
    if found is None:
        mistakes.add(value.place, f"{label} is {node}, but {name.text} takes {needs}.")
    return found


def _choice(node: Node, mistakes: Mistakes) -> tuple[Distribution | None, str]:
    items = node.items if isinstance(node, Items) else ()
    texts = tuple(gin_text(item, mistakes) for item in items)
    usable = texts and len(set(texts)) == len(texts)
    return (Choice(texts) if usable else None), "a list of different values, such as {choice: [1, 2]}"


def _bounded(name: str, node: Node) -> tuple[Distribution | None, str]:
    make, will_do, needs = _BOUNDED[name]
    items = node.items if isinstance(node, Items) else ()
    numbers = [value for item in items if (value := _number(item)) is not None and (name != "int" or type(value) is int)]
    usable = len(numbers) == len(items) == 2 and will_do(*numbers)
    return (make(*numbers) if usable else None), needs


def _number(node: Node) -> float | None:
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None
