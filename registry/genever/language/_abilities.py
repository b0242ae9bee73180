"""Abilities that parts declare: what one needs, another must provide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from genever.errors import Place, Problem, listed
from genever.language._composition import Composition, Node
from genever.language._parts import ROOT, Parts

__all__ = ["missing_abilities"]


def missing_abilities(composition: Composition, parts: Parts, root_place: Place) -> Iterator[Problem]:
    """A need is 'slot.ability', 'train.parameter' or 'self.parameter', or several of these with '|' between, of which one
    is enough. A part that provides 'parameter.*' provides what every part that its parameter names does.
    """
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
    if slot in (ROOT, "self"):
        owner = node if slot == "self" else Node((), ROOT)
        binding, key = composition.values[owner].get(ability), f"{owner.part}.{ability}"
        return None if binding is not None and binding.value is not None else _Gap(key, "it is not set", f"Set {key}.")
    stage = parts.readable(ROOT)
    is_own = bool(composition.named_by(node, slot)) or (stage is not None and stage.parameter(slot) is None)
    owner = node if is_own else Node((), ROOT)
    named = composition.named_by(owner, slot)
    without = [found.part for found in named if not _provides(found, ability, composition, parts)]
    if named and not without:
        return None
    able = [parts.short(name) for name in parts.of_slot(slot) if _claims(name, ability, parts)]
    return _Gap(
        f"a {slot} that provides {ability!r}",
        f"{owner.part}.{slot} is {without[0]}, which does not" if without else f"{owner.part}.{slot} is not set",
        f"Such a {slot} is: {listed(able)}." if able else f"No {slot} that is installed does.",
    )


def _provides(node: Node, ability: str, composition: Composition, parts: Parts, above: tuple[Node, ...] = ()) -> bool:
    """Whether a part has an ability, or those have it that it passes on; `above` are those that pass this one on."""
    if _claims(node.part, ability, parts) or node in above:
        return True
    surface = parts.readable(node.part)
    passed_on = [one.removesuffix(".*") for one in surface.provides if one.endswith(".*")] if surface else []
    inner = [child for parameter in passed_on for child in composition.named_by(node, parameter)]
    return bool(inner) and all(_provides(child, ability, composition, parts, (*above, node)) for child in inner)


def _claims(name: str, ability: str, parts: Parts) -> bool:
    surface = parts.readable(name)
    return surface is None or ability in surface.provides
