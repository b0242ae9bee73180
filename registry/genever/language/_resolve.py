"""From a config to the one flat file that a run freezes, and to the run's identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from genever.errors import UserError, shown_path
from genever.language._annotations import kind_of
from genever.language._check import check
from genever.language._composition import Composition, Node, compose
from genever.language._config import Binding, Config, Key, NamedRun
from genever.language._parts import ROOT, Parts, parts_of
from genever.language._values import source
from genever.parts import Catalog

__all__ = ["Resolved", "resolve"]


@dataclass(frozen=True, eq=False)
class Resolved:
    """A frozen experiment.

    Args:
        identity: a hash of everything that changes the result; two runs with the same one are the same run.
        composes: the parts that fill the slots of `train`, in a line.
    """

    config: Config
    identity: str
    composes: str
    _composition: Composition = field(repr=False)

    @property
    def name(self) -> str:
        """The experiment's, such as 'digits/pretrain'."""
        return self.config.name

    @property
    def start(self) -> NamedRun | None:
        """What `train.start` means; None = from scratch."""
        return self.config.start

    @property
    def note(self) -> str:
        """What a user should know beside it; '' = nothing."""
        return next(filter(None, map(_note, self.config.named_runs.values())), "")

    @cached_property
    def text(self) -> str:
        """resolved.gin."""
        header = f"# {self.name}: one stage, flat. Everything that 'genever run' reads.\n# identity {self.identity}\n"
        return header + "".join(_lines(self._composition))

    @cached_property
    def json(self) -> str:
        """resolved.json, which says of every value where it came from."""
        return json.dumps(_record(self.config, self._composition, self.identity), indent=1, default=source) + "\n"


def resolve(config: Config, catalog: Catalog) -> Resolved:
    """Freezes a config. Its identity is known at once; its text and json are written when they are first asked for.

    Raises:
        UserError: the config has errors; the message holds all of them.
    """
    errors = [problem for problem in check(config, catalog) if problem.level == "error"]
    if errors:
        raise UserError("\n".join([f"{config.file} has {len(errors)} error{'s' * (len(errors) > 1)}.", *map(str, errors)]))
    parts = parts_of(catalog)
    bindings = _final(config, parts)
    composition = compose(bindings, parts)
    return Resolved(config, _identity(bindings, parts), _composes(composition, parts), composition)


def _final(config: Config, parts: Parts) -> dict[Key, Binding]:
    """The bindings as they are frozen: whole numbers as floats where floats are wanted, and runs by their own names."""
    final = {key: _normal(binding, parts) for key, binding in config.bindings.items()}
    for key, named in config.named_runs.items():
        if named.run:
            final[key] = replace(final[key], value=named.pinned)
    return final


@lru_cache(maxsize=4096)
def _normal(binding: Binding, parts: Parts) -> Binding:
    surface = parts.readable(binding.key.part)
    parameter = surface.parameter(binding.key.parameter) if surface else None
    value = kind_of(parameter.annotation).normal(binding.value) if parameter else binding.value
    return binding if source(value) == binding.source else replace(binding, value=value)


def _in_order(composition: Composition) -> Iterator[list[Binding]]:
    """The bindings that have an effect, part by part as they are composed, outer scopes first."""
    for part in dict.fromkeys(node.part for node in composition.values):
        found = [b for node, values in composition.values.items() if node.part == part for b in values.values()]
        order = {name: n for n, name in enumerate(dict.fromkeys(binding.key.parameter for binding in found))}
        yield sorted(set(found), key=lambda binding: (binding.key.scopes, order[binding.key.parameter]))


def _lines(composition: Composition) -> Iterator[str]:
    for bindings in _in_order(composition):
        if bindings:
            yield "\n"
        yield from (f"{binding.statement}  # {_where(binding)}\n" for binding in bindings)


def _where(binding: Binding) -> str:
    place = binding.origin if binding.origin in ("default", "-b") else str(binding.place)
    return ("start, " if binding.origin == "start" else "") + place.replace("\n", "?")


def _identity(bindings: dict[Key, Binding], parts: Parts) -> str:
    """A hash of the bindings that change the result. The order of lines, comments and infrastructure do not count."""
    composition = compose(bindings, parts, leave_out=lambda part, parameter: _is_infrastructure(part, parameter, parts))
    lines = sorted(binding.statement for binding in composition.effective)
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
        "reads": {str(key): {"written": named.written, "run": named.pinned or None} for key, named in config.reads.items()},
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


def _note(named: NamedRun) -> str:
    if named.experiment is None:
        return ""
    return f"There is no finished run of {named.written!r} yet. Run it first: genever run {shown_path(named.experiment)}"
