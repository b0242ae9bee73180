"""Abilities that parts declare: what one needs, another must provide."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from genever.errors import Place, Problem, listed
from genever.language._composition import Composition, Node, compose, value_of
from genever.language._config import Config
from genever.language._parts import ROOT, Parts
from genever.language._values import Unreadable
from genever.parts import passed_on

__all__ = ["missing_abilities"]

_STAGE = Node((), ROOT)


def missing_abilities(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """A need is one of these, or several with '|' between, of which one is enough:

    - 'slot.ability';
    - 'start.slot.ability': the part of that slot has it in a stage that this one goes back to;
    - 'train.parameter' or 'self.parameter', which is then to be set;
    - 'self.parameter=value'.

    A part that provides 'parameter.ability', or 'parameter.*', provides that ability, or any, where every part that its
    parameter names does, and 'parameter.* but ability, other' any but those; one that provides 'ability if parameter' does
    where that parameter is neither 0 nor None.
    """
    search = _Search(config, composition, parts)
    for node in composition.values:
        surface = parts.readable(node.part)
        for need in surface.needs if surface else ():
            gaps = [search.gap(node, one.strip()) for one in need.split("|")]
            missing = [gap for gap in gaps if gap]
            if len(missing) == len(gaps):
                yield Problem.at(composition.place_of(node, Place(config.file, 1)), _message(node, missing))


@dataclass(frozen=True)
class _Gap:
    """One need that is not met."""

    wanted: str
    found: str
    remedy: str


def _message(node: Node, gaps: list[_Gap]) -> str:
    wanted = " or ".join(gap.wanted for gap in gaps)
    remedies = " ".join(gap.remedy for gap in gaps if gap.remedy)
    return f"{node.part} needs {wanted}, but {', and '.join(gap.found for gap in gaps)}. {remedies}"


@dataclass(frozen=True)
class _Search:
    """Looks for what parts need."""

    config: Config
    composition: Composition
    parts: Parts

    def gap(self, node: Node, need: str) -> _Gap | None:
        slot, _, ability = need.partition(".")
        if slot == "start":
            return self._gap_of_starts(*ability.split("."))
        if slot not in (ROOT, "self"):
            return self._gap_of_slot(node, slot, ability)
        name, _, wanted = ability.partition("=")
        return self._gap_of_value(node if slot == "self" else _STAGE, name, wanted)

    def _gap_of_value(self, owner: Node, name: str, wanted: str) -> _Gap | None:
        key = f"{owner.part}.{name}"
        if wanted:
            found = value_of(owner, name, self.composition, self.parts)
            is_met = isinstance(found, Unreadable) or found == ast.literal_eval(wanted)
            return None if is_met else _Gap(f"{key} = {wanted}", f"{key} is {found!r}", f"Set {key} = {wanted}.")
        binding = self.composition.values[owner].get(name)
        return None if binding is not None and binding.value is not None else _Gap(key, "it is not set", f"Set {key}.")

    def _gap_of_slot(self, node: Node, slot: str, ability: str) -> _Gap | None:
        stage = self.parts.readable(ROOT)
        is_own = bool(self.composition.named_by(node, slot)) or (stage is not None and stage.parameter(slot) is None)
        owner = node if is_own else _STAGE
        named = self.composition.named_by(owner, slot)
        without = [found for found in named if not _provides(found, ability, self.composition, self.parts)]
        if named and not without:
            return None
        able = [_able(name, ability, self.parts) for name in self.parts.of_slot(slot)]
        choices = [one for one in able if one]
        said = f"{owner.part}.{slot} is {without[0].part}, {self._which_does_not(without[0], ability)}" if without else ""
        return _Gap(
            f"a {slot} that provides {ability!r}",
            said or f"{owner.part}.{slot} is not set",
            f"Such a {slot} is: {listed(choices)}." if choices else f"No {slot} that is installed does.",
        )

    def _which_does_not(self, node: Node, ability: str) -> str:
        """What a part, or the first part in it, would have to be given."""
        waiting = [node]
        while waiting:
            one = waiting.pop(0)
            if parameter := _condition(one.part, ability, self.parts):
                return f"where {one.part}.{parameter} is {value_of(one, parameter, self.composition, self.parts)}"
            waiting += self.composition.children(one)
        return "which does not"

    def _gap_of_starts(self, slot: str, ability: str) -> _Gap | None:
        if not self.config.knows_all_starts:
            return None  # Nobody can tell what the others had.
        for bindings in self.config.starts:
            theirs = compose(bindings, self.parts)
            named = theirs.named_by(_STAGE, slot)
            if named and all(_provides(found, ability, theirs, self.parts) for found in named):
                return None
        found = (
            "no stage that it goes back to had one" if self.config.starts else "it does not start from a run that had one"
        )
        return _Gap(f"a start with such a {slot}", found, "")


def _provides(node: Node, ability: str, composition: Composition, parts: Parts, above: tuple[Node, ...] = ()) -> bool:
    """Whether a part has an ability, or those have it that it passes on; `above` are those that pass this one on."""
    if _claims(node.part, ability, parts) or node in above:
        return True
    parameter = _condition(node.part, ability, parts)
    if parameter and value_of(node, parameter, composition, parts):
        return True
    surface = parts.readable(node.part)
    passing = passed_on(surface.provides, ability) if surface else []
    inner = [child for parameter in passing for child in composition.named_by(node, parameter)]
    return bool(inner) and all(_provides(child, ability, composition, parts, (*above, node)) for child in inner)


def _claims(name: str, ability: str, parts: Parts) -> bool:
    surface = parts.readable(name)
    return surface is None or ability in surface.provides


def _condition(name: str, ability: str, parts: Parts) -> str:
    """The parameter without which a part has not got an ability that it says to provide; '' = it does not."""
    surface = parts.readable(name)
    conditions = [one.partition(" if ") for one in surface.provides] if surface else []
    return next((parameter for claimed, _, parameter in conditions if claimed == ability), "")


def _able(name: str, ability: str, parts: Parts) -> str:
    """How to name a part that may have an ability; '' = it never has."""
    if _claims(name, ability, parts):
        return parts.short(name)
    parameter = _condition(name, ability, parts)
    return f"{parts.short(name)} with {parameter}" if parameter else ""
