"""Whether a start can teach: a distiller reads the outputs of teacher and student by one loss."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from genever.errors import Problem
from genever.language._composition import Composition, Node, compose
from genever.language._config import START, Config
from genever.language._parts import ROOT, Parts

__all__ = ["misread_teacher"]

_STAGE = Node((), ROOT)
#: What a loss says of how errors count, and not of what outputs mean: it may differ from stage to stage.
_OF_ERRORS = ("weighting", "distance")


def misread_teacher(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """A stage with a distiller whose loss reads outputs otherwise than that of its start."""
    if not config.start_bindings or not composition.named_by(_STAGE, "distiller"):
        return
    theirs = compose(config.start_bindings, parts)
    own, other = composition.root.get("loss"), theirs.root.get("loss")
    if own is None or other is None or _reading(composition, parts) == _reading(theirs, parts):
        return
    distiller, start = composition.root["distiller"], config.bindings[START]
    message = (
        f"train.distiller = {distiller.source} would read its teacher by train.loss = {own.source}, but train.start = "
        f"{start.source} was trained by {other.source}, where outputs mean something else "
        f"({_first_difference(composition, theirs, parts)}). Leave the loss out, so that it is taken over from the start."
    )
    yield Problem.at(distiller.place, message)


def _first_difference(composition: Composition, theirs: Composition, parts: Parts) -> str:
    own, other = _reading(composition, parts), _reading(theirs, parts)
    name = next(name for name in [*other, *own] if own.get(name) != other.get(name))
    return f"{name} = {other[name]}" if name in other else f"no {name}"


def _reading(composition: Composition, parts: Parts) -> dict[str, object]:
    """What the stage's loss says of what outputs mean, by 'part.parameter', defaults too."""
    found, waiting = dict[str, object](), [*composition.named_by(_STAGE, "loss")]
    while waiting:
        node = waiting.pop()
        surface = parts.readable(node.part)
        for parameter in surface.parameters if surface else ():
            if parameter.name not in _OF_ERRORS:
                inner, binding = composition.named_by(node, parameter.name), composition.values[node].get(parameter.name)
                named = ", ".join(f"@{child.part}()" for child in inner)
                found[f"{node.part}.{parameter.name}"] = named or (binding.value if binding else _literal(parameter.default))
                waiting += inner
        found.setdefault(node.part, "")
    return found


def _literal(text: str | None) -> object:
    try:
        return ast.literal_eval(text or "None")
    except ValueError:
        return text
