"""Abilities that parts declare: what one needs, another must provide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genever.errors import Place, Problem, listed
from genever.language._composition import Composition, Node
from genever.language._parts import ROOT, Parts

__all__ = ["missing_abilities"]


def missing_abilities(composition: Composition, parts: Parts, root_place: Place) -> Iterator[Problem]:
    """A need is 'slot.ability', 'train.parameter', or several of these with '|' between, of which one is enough."""
    for node in composition.values:
        surface = parts.readable(node.part)
        for need in surface.needs if surface else ():
            gaps = [_gap(node, one.strip(), composition, parts) for one in need.split("|")]
            missing = [gap for gap in gaps if gap]
            if len(missing) == len(gaps):
                yield Problem.at(composition.place_of(node, root_place), _message(node, missing))


@dataclass(frozen=True)
class _Gap:
    """One need that is not met."""

    wanted: str
    found: str
    remedy: str


def _message(node: Node, gaps: list[_Gap]) -> str:
    wanted = " or ".join(gap.wanted for gap in gaps)
    return (
        f"{node.part} needs {wanted}, but {', and '.join(gap.found for gap in gaps)}. {' '.join(gap.remedy for gap in gaps)}"
    )


def _gap(node: Node, need: str, composition: Composition, parts: Parts) -> _Gap | None:
    slot, _, ability = need.partition(".")
    if slot == ROOT:
        binding = composition.root.get(ability)
        is_set = binding is not None and binding.value is not None
        return None if is_set else _Gap(f"train.{ability}", "it is not set", f"Set train.{ability}.")
    stage = parts.readable(ROOT)
    is_own = bool(composition.named_by(node, slot)) or (stage is not None and stage.parameter(slot) is None)
    owner = node if is_own else Node((), ROOT)
    named = composition.named_by(owner, slot)
    without = [found.part for found in named if not _provides(found.part, ability, parts)]
    if named and not without:
        return None
    able = [parts.short(name) for name in parts.of_slot(slot) if _provides(name, ability, parts)]
    return _Gap(
        f"a {slot} that provides {ability!r}",
        f"{owner.part}.{slot} is {without[0]}, which does not" if without else f"{owner.part}.{slot} is not set",
        f"Such a {slot} is: {listed(able)}." if able else f"No {slot} that is installed does.",
    )


def _provides(name: str, ability: str, parts: Parts) -> bool:
    surface = parts.readable(name)
    return surface is None or ability in surface.provides
