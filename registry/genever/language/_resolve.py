"""From a config to the one flat file that a run freezes, and to the run's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from genever.errors import UserError
from genever.language._annotations import kind_of
from genever.language._check import check
from genever.language._composition import Composition, Node, compose
from genever.language._config import Binding, Config, Key, Start
from genever.language._parts import ROOT, Parts
from genever.language._problems import shown_path
from genever.language._values import source
from genever.parts import Catalog

__all__ = ["Resolved", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """A frozen experiment.

    Args:
        name: of the experiment, such as 'digits/pretrain'.
        text: resolved.gin.
        json: resolved.json, which says of every value where it came from.
        identity: a hash of everything that changes the result; two runs with the same one are the same run.
        start: what `train.start` means; None = from scratch.
        composes: the parts that fill the slots of `train`, in a line.
        note: what a user should know beside it; '' = nothing.
    """

    name: str
    text: str
    json: str
    identity: str
    composes: str
    start: Start | None = None
    note: str = ""


def resolve(config: Config, catalog: Catalog) -> Resolved:
    """Freezes a config.

    Raises:
        UserError: the config has errors; the message holds all of them.
    """
    errors = [problem for problem in check(config, catalog) if problem.level == "error"]
    if errors:
        raise UserError("\n".join([f"{config.file} has {len(errors)} error{'s' * (len(errors) > 1)}.", *map(str, errors)]))
    parts = Parts(catalog)
    bindings = _final(config, parts)
    composition = compose(bindings, parts)
    identity = _identity(bindings, parts)
    header = f"# {config.name}: one stage, flat. Everything that 'genever run' reads.\n# identity {identity}\n"
    return Resolved(
        name=config.name,
        text=header + "".join(_lines(composition)),
        json=json.dumps(_record(config, composition, identity), indent=1, default=source) + "\n",
        identity=identity,
        composes=_composes(composition, parts),
        start=config.start,
        note=_note(config.start),
    )


def _final(config: Config, parts: Parts) -> dict[Key, Binding]:
    """The bindings as they are frozen: whole numbers as floats where floats are wanted, and the start by its run."""
    final = {key: replace(binding, value=_normal(binding, parts)) for key, binding in config.bindings.items()}
    start = Key("", ROOT, "start")
    if config.start and config.start.run:
        final[start] = replace(final[start], value=config.start.pinned)
    return final


def _normal(binding: Binding, parts: Parts) -> object:
    surface = parts.readable(binding.key.part)
    parameter = surface.parameter(binding.key.parameter) if surface else None
    return kind_of(parameter.annotation).normal(binding.value) if parameter else binding.value


def _in_order(composition: Composition) -> Iterator[list[Binding]]:
    """The bindings that have an effect, part by part as they are composed, outer scopes first."""
    for part in dict.fromkeys(node.part for node in composition.values):
        values = [v for node, v in composition.values.items() if node.part == part]
        order = {name: None for found in values for name in found}
        own = [
            binding for binding in composition.used.values() if binding.key.part == part and _is_effective(binding, values)
        ]
        yield sorted(own, key=lambda binding: (binding.key.scopes, list(order).index(binding.key.parameter)))


def _is_effective(binding: Binding, values: Iterable[dict[str, Binding]]) -> bool:
    return any(found.get(binding.key.parameter) is binding for found in values)


def _lines(composition: Composition) -> Iterator[str]:
    for bindings in _in_order(composition):
        if bindings:
            yield "\n"
        yield from (f"{binding.key} = {binding.source}  # {_where(binding)}\n" for binding in bindings)


def _where(binding: Binding) -> str:
    place = binding.origin if binding.origin in ("default", "-b") else str(binding.place)
    return ("start, " if binding.origin == "start" else "") + place.replace("\n", "?")


def _identity(bindings: dict[Key, Binding], parts: Parts) -> str:
    """A hash of the bindings that change the result. The order of lines, comments and infrastructure do not count."""
    composition = compose(bindings, parts, leave_out=lambda part, parameter: _is_infrastructure(part, parameter, parts))
    lines = sorted(f"{binding.key} = {binding.source}" for found in _in_order(composition) for binding in found)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _is_infrastructure(part: str, parameter: str, parts: Parts) -> bool:
    surface = parts.readable(part)
    return surface is not None and parameter in surface.infrastructure


def _record(config: Config, composition: Composition, identity: str) -> dict[str, object]:
    start = config.start
    return {
        "experiment": config.name,
        "file": config.file,
        "identity": identity,
        "start": start and {"written": start.written, "run": start.pinned or None},
        "values": {str(b.key): _provenance(b) for found in _in_order(composition) for b in found},
    }


def _provenance(binding: Binding) -> dict[str, object]:
    known = binding.origin != "default"
    return {
        "value": binding.source,
        "origin": binding.origin,
        "file": binding.place.file if known else None,
        "line": binding.place.line if known else None,
        "macros": [{"name": m.name, "file": m.place.file, "line": m.place.line} for m in binding.macros],
        "replaced": [{"value": b.source, "file": b.place.file, "line": b.place.line} for b in binding.replaced],
    }


def _composes(composition: Composition, parts: Parts) -> str:
    """Such as 'data = Digits, loss = FlowMatching'."""
    root = Node((), ROOT)
    named = {parameter: composition.named_by(root, parameter) for parameter in composition.root}
    return ", ".join(
        f"{parameter} = {' + '.join(parts.short(n.part) for n in nodes)}" for parameter, nodes in named.items() if nodes
    )


def _note(start: Start | None) -> str:
    if start is None or start.experiment is None:
        return ""
    return f"There is no finished run of {start.written!r} yet. Run it first: genever run {shown_path(start.experiment)}"
