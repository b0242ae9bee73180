"""What a config composes: from `train` along its references, under their scopes. Only what is reached here has an effect."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from genever.errors import Place
from genever.language._config import Binding, Key
from genever.language._parts import ROOT, Parts
from genever.language._values import Reference

__all__ = ["Composition", "Node", "compose", "value_of"]


@dataclass(frozen=True)
class Node:
    """A part, built under some scopes."""

    scopes: tuple[str, ...]
    part: str

    def to(self, reference: Reference) -> Node:
        """What a reference among this part's values means: a scope of its own replaces the one it stands in, as in gin."""
        return Node(reference.scopes or self.scopes, reference.part)


@dataclass
class Composition:
    """The parts that are built, in the order in which they are first named.

    Args:
        values: of each part, by parameter.
        reached_by: the binding that first names a part; the root has none.
        used: every binding that sets some part's value, also one that an inner scope overrides wherever that part is built.
    """

    values: dict[Node, dict[str, Binding]] = field(default_factory=dict)
    reached_by: dict[Node, Binding] = field(default_factory=dict)
    used: dict[Key, Binding] = field(default_factory=dict)

    @cached_property
    def effective(self) -> frozenset[Binding]:
        """Every binding that some part gets."""
        return frozenset(binding for values in self.values.values() for binding in values.values())

    @property
    def root(self) -> dict[str, Binding]:
        """The values of `train`."""
        return self.values[Node((), ROOT)]

    def place_of(self, node: Node, otherwise: Place) -> Place:
        """The line that first names a part; what no line names stands elsewhere."""
        binding = self.reached_by.get(node)
        return binding.place if binding and binding.origin != "default" else otherwise

    def children(self, node: Node) -> Iterator[Node]:
        """The parts that a part's values name."""
        for binding in self.values[node].values():
            yield from references(node, binding)

    def named_by(self, node: Node, parameter: str) -> tuple[Node, ...]:
        """The parts that one value of a part names."""
        binding = self.values[node].get(parameter)
        return tuple(references(node, binding)) if binding else ()


def value_of(node: Node, name: str, composition: Composition, parts: Parts) -> object:
    """A parameter's value, set or by default; None where neither is known."""
    if binding := composition.values[node].get(name):
        return binding.value
    surface = parts.readable(node.part)
    parameter = surface.parameter(name) if surface else None
    try:
        return ast.literal_eval(parameter.default) if parameter and parameter.default else None
    except ValueError:
        return None


def references(node: Node, binding: Binding) -> Iterator[Node]:
    """The parts that a value names, where the value belongs to a part."""
    return (node.to(reference) for reference in binding.references if reference.part != ROOT)


def compose(
    bindings: Mapping[Key, Binding], parts: Parts, *, leave_out: Callable[[str, str], bool] | None = None
) -> Composition:
    """Follows `train`.

    Args:
        leave_out: tells of (part, parameter) whether it is passed over. None = none is.
    """
    by_part: dict[tuple[str, str], dict[str, Binding]] = {}
    for key, binding in bindings.items():
        by_part.setdefault((key.scope, key.part), {})[key.parameter] = binding
    composition, waiting = Composition(), [Node((), ROOT)]
    while waiting:
        node = waiting.pop()
        if node in composition.values:
            continue
        found = {**_defaults(node.part, parts), **_effective(node, by_part)}
        if leave_out:
            found = {name: binding for name, binding in found.items() if not leave_out(node.part, name)}
        composition.values[node] = _in_order(found, node, parts)
        composition.used.update({binding.key: binding for binding in found.values()})
        for binding in reversed(composition.values[node].values()):
            for child in references(node, binding):
                composition.reached_by.setdefault(child, binding)
                waiting.append(child)
    return composition


def _effective(node: Node, by_part: Mapping[tuple[str, str], dict[str, Binding]]) -> dict[str, Binding]:
    """The bindings of a part under its scopes; the inner scope wins."""
    found: dict[str, Binding] = {}
    for depth in range(len(node.scopes) + 1):
        found.update(by_part.get(("/".join(node.scopes[:depth]), node.part), {}))
    return found


@lru_cache(maxsize=1024)
def _defaults(part: str, parts: Parts) -> Mapping[str, Binding]:
    surface = parts.readable(part)
    return {
        parameter: Binding(
            Key("", part, parameter),
            Reference((), named, True),
            Place("default", 0),
            "default",
            Reference((), named, True),
        )
        for parameter, named in (surface.defaults.items() if surface else ())
        if named in parts.catalog.targets
    }


def _in_order(found: dict[str, Binding], node: Node, parts: Parts) -> dict[str, Binding]:
    places = parts.places(node.part)
    return {name: found[name] for name in sorted(found, key=lambda name: (places.get(name, len(places)), name))}
