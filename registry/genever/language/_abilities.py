"""Abilities that parts declare: what one needs, another must provide."""

from __future__ import annotations

from collections.abc import Iterator

from genever.language._composition import Composition, Node
from genever.language._parts import ROOT, Parts
from genever.language._problems import Place, Problem, listed

__all__ = ["missing_abilities"]


def missing_abilities(composition: Composition, parts: Parts, root_place: Place) -> Iterator[Problem]:
    """A need is 'slot.ability', 'train.parameter', or several of these with '|' between, of which one is enough."""
    for node in composition.values:
        surface = parts.readable(node.part)
        for need in surface.needs if surface else ():
            complaints = [_complaint(node, one.strip(), composition, parts) for one in need.split("|")]
            if all(complaints):
                yield Problem.at(
                    composition.place_of(node, root_place), f"{node.part} needs {' or '.join(f'{c}' for c in complaints)}"
                )


def _complaint(node: Node, need: str, composition: Composition, parts: Parts) -> str | None:
    """Why one need is not met."""
    slot, _, ability = need.partition(".")
    root = Node((), ROOT)
    if slot == ROOT:
        binding = composition.root.get(ability)
        return f"train.{ability}, which is not set. Set it." if binding is None or binding.value is None else None
    owner = node if composition.named_by(node, slot) else root
    named = composition.named_by(owner, slot)
    without = [found.part for found in named if not _provides(found.part, ability, parts)]
    if named and not without:
        return None
    able = [parts.short(name) for name in parts.of_slot(slot) if _provides(name, ability, parts)]
    what = f"{owner.part}.{slot} = {without[0]} does not provide" if without else f"{owner.part}.{slot} is not set"
    return f"the ability {ability!r} of a {slot}, but {what}{' it' if without else ''}. Those that do: {listed(able)}."


def _provides(name: str, ability: str, parts: Parts) -> bool:
    surface = parts.readable(name)
    return surface is None or ability in surface.provides
