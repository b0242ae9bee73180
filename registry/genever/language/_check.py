"""Everything that is wrong with an experiment, in one pass and without importing a part."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from genever.language._abilities import missing_abilities
from genever.language._composition import Composition, Node, compose
from genever.language._config import Binding, Config
from genever.language._parts import ROOT, Parts
from genever.language._problems import Place, Problem, did_you_mean, listed, nearest
from genever.language._types import kind_of
from genever.language._values import Reference, leaves, shown
from genever.parts import BrokenPartError, Catalog, Parameter, Surface
from genever.slots import SLOTS

__all__ = ["check"]


def check(config: Config, catalog: Catalog) -> list[Problem]:
    """All problems of a config, by file and line; the files in the order in which a user should look at them."""
    parts = Parts(catalog)
    composition = compose(config.bindings, parts)
    found = [
        *config.problems,
        *(problem for binding in config.bindings.values() for problem in _Judge(binding, parts).problems()),
        *_macro_problems(config, parts),
        *_missing(config, composition, parts),
        *_cycles(composition),
        *missing_abilities(composition, parts, Place(config.file, 1)),
        *(_without_effect(config, composition) if config.readable and config.complete else ()),
        *_start_warning(config),
    ]
    return sorted(dict.fromkeys(found), key=lambda problem: (problem.file == "-b", problem.file, problem.line))


class _Judge:
    """Judges one binding by itself: its part, its parameter, its value."""

    def __init__(self, binding: Binding, parts: Parts) -> None:
        self.binding, self.parts, self.key = binding, parts, binding.key

    def problems(self) -> Iterator[Problem]:
        if self.key.part.startswith("gin."):
            yield self._at(f"{self.key} sets something of gin's own, which Genever does not have. Leave the line out.")
            return
        unknown = self._unknown_part(self.key.part, str(self.key))
        if unknown:
            yield self._at(unknown)
        else:
            yield from self._parameter_problems()
        yield from self._reference_problems()

    def _at(self, message: str) -> Problem:
        return Problem.at(self.binding.place, message)

    def _unknown_part(self, name: str, written: str) -> str | None:
        """What is wrong with a part's name."""
        found = self.parts.find(name)
        if len(found) > 1:
            offers = [f"{full} ({_distribution(self.parts, full)})" for full in found]
            return f"{written}: the name {name} could be {listed(offers)}. Write the full name."
        if found:
            return _unusable(found[0], self.parts)
        if name in SLOTS:
            return f"{written}: {name} is a slot, not a part. Write train.{name} = @Name(), or set a parameter of one of: {listed(self.parts.of_slot(name), 12)}."
        hint = did_you_mean(name, (*self.parts.names, ROOT)) or " 'genever parts' lists all."
        return f"{written}: there is no part {name}.{hint}{_blame(name, self.parts)}"

    def _parameter_problems(self) -> Iterator[Problem]:
        surface = self.parts.readable(self.key.part)
        assert surface is not None
        parameter = surface.parameter(self.key.parameter)
        if parameter is None:
            if complaint := _unknown_parameter(self.key.parameter, surface):
                yield self._at(complaint)
            return
        complaint = kind_of(parameter.annotation).complaint(self.binding.value, self._slot_of)
        if complaint:
            yield self._at(f"{self.key} wants {complaint}.{_from_macros(self.binding)}".replace("?.", "?"))

    def _slot_of(self, part: str) -> str | None:
        surface = self.parts.readable(part)
        return surface.slot if surface else None

    def _reference_problems(self) -> Iterator[Problem]:
        for leaf in dict.fromkeys(leaf for leaf in leaves(self.binding.value) if isinstance(leaf, Reference)):
            if leaf.part.startswith("gin."):
                yield self._at(
                    f"{shown(leaf)} is of gin itself; Genever builds each part anew where it is named. Write '@Name()' in its place."
                )
            elif leaf.part == ROOT:
                yield self._at(f"{self.key} = {shown(leaf)}: train is what a file composes, not a part. Name a part.")
            elif unknown := self._unknown_part(leaf.part, f"{self.key} = {shown(leaf)}"):
                yield self._at(unknown)
            elif not leaf.called:
                yield self._at(f"{self.key} = {shown(leaf)} names the part without building it. Write {shown(leaf)}().")


def _from_macros(binding: Binding) -> str:
    """Where a value came from that is not written in the binding itself."""
    sources = [f"%{macro.name} is set at {macro.place}" for macro in binding.macros]
    return f" ({listed(sources, 3)})" if sources else ""


def _distribution(parts: Parts, name: str) -> str:
    report = parts.catalog.provider(name)
    return f"{report.distribution} {report.version}".strip()


def _blame(name: str, parts: Parts) -> str:
    """The plugins that failed to load and that may offer a part."""
    failed = parts.catalog.broken(name)
    failed = [report for report in failed if report.tried] or failed
    if len(failed) > 2:
        return f" {len(failed)} plugins failed to load, and one of them may offer it: see 'genever plugins'."
    return "".join(f" The {report} failed to load and may offer it: {report.reason.rstrip('.')}." for report in failed)


def _unusable(name: str, parts: Parts) -> str | None:
    """Why a part that is registered cannot be used."""
    surface = parts.surface(name)
    if isinstance(surface, BrokenPartError):
        return str(surface)
    rivals = [report for report in parts.catalog.broken(name) if name in report.tried] if name != ROOT else []
    if rivals and (rivals[0].reason.startswith(f"The part {name} is already provided")):
        offers = [_distribution(parts, name), *(f"{rival.distribution} {rival.version}".strip() for rival in rivals)]
        return f"The part {name} is offered by {' and by '.join(offers)}. Leave one of them out with GENEVER_PLUGINS."
    return None


def _unknown_parameter(name: str, surface: Surface) -> str | None:
    names = tuple(parameter.name for parameter in surface.parameters)
    if surface.accepts_any and not nearest(name, names):
        return None
    return f"{surface.name} has no parameter {name}.{did_you_mean(name, names)} It has: {listed(names)}."


def _missing(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """Parameters without which a part cannot be built."""
    if not config.complete:
        return
    said: set[tuple[str, str]] = set()
    for node, values in composition.values.items():
        surface = parts.readable(node.part)
        for parameter in surface.parameters if surface else ():
            if parameter.required and parameter.name not in values and (node.part, parameter.name) not in said:
                said.add((node.part, parameter.name))
                place = composition.place_of(node, Place(config.file, 1))
                yield Problem.at(place, _missing_message(node, parameter, parts))


def _missing_message(node: Node, parameter: Parameter, parts: Parts) -> str:
    example = kind_of(parameter.annotation).example(lambda slot: _some_part(slot, parts))
    meaning = f" It is: {parameter.doc.rstrip('.')}." if parameter.doc else ""
    return f"{node.part}.{parameter.name} is not set, but needed.{meaning} Set it, as in: {parts.short(node.part)}.{parameter.name} = {example}"


def _some_part(slot: str, parts: Parts) -> str:
    offered = parts.of_slot(slot)
    return parts.short(offered[0]) if offered else "Name"


def _cycles(composition: Composition) -> Iterator[Problem]:
    sorter = TopologicalSorter({node: set(composition.children(node)) for node in composition.values})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        names = " -> ".join("/".join([*node.scopes, node.part]) for node in cycle)
        place = next(
            binding.place
            for binding in composition.values[cycle[0]].values()
            if cycle[1] in composition.named_by(cycle[0], binding.key.parameter)
        )
        yield Problem.at(place, f"Parts need each other in a circle: {names}. One of them must be given something else.")


def _macro_problems(config: Config, parts: Parts) -> Iterator[Problem]:
    """Macros that nothing uses; one that names a parameter was meant to set it."""
    used = {macro.name for binding in config.bindings.values() for macro in binding.macros}
    for macro in config.macros.values():
        if macro.name in used:
            continue
        if meant := _meant_parameter(macro.name, config, parts):
            yield Problem.at(
                macro.place,
                f"'{macro.name} = {shown(macro.value)}' sets a macro that nothing uses. Did you mean {meant} = {shown(macro.value)}?",
            )
        elif config.readable:
            yield Problem.at(
                macro.place,
                f"The macro {macro.name} is set, but nothing uses %{macro.name}. Use it or leave it out.",
                "warning",
            )


def _meant_parameter(name: str, config: Config, parts: Parts) -> str | None:
    """The parameter that a macro's name spells without its dot."""
    plain = name.replace("_", "").replace("/", "").lower()
    candidates = dict.fromkeys([ROOT, *(binding.key.part for binding in config.bindings.values())])
    candidates.update({full: None for end in range(1, len(name)) for full in parts.find(name[:end])[:1]})
    for part in candidates:
        surface = parts.readable(part)
        bare = part.rpartition(".")[2]
        for parameter in surface.parameters if surface else ():
            spelt = parameter.name.replace("_", "").lower()
            spellings = {bare.lower() + spelt, part.replace(".", "").lower() + spelt, *([spelt] if part == ROOT else [])}
            if plain in {spelling.replace("_", "") for spelling in spellings}:
                return f"{parts.short(part)}.{parameter.name}"
    full = parts.full_name(name) if name != ROOT else None
    return f"train.{full.partition('.')[0]}" if full else None


def _without_effect(config: Config, composition: Composition) -> Iterator[Problem]:
    """Bindings of this file that no part gets."""
    values = list(composition.values.values())
    parts_built = {node.part for node in composition.values}
    entered = {"/".join(node.scopes[:n]) for node in composition.values for n in range(1, len(node.scopes) + 1)}
    for key, binding in config.bindings.items():
        if binding.origin in ("start", "default") or any(found.get(key.parameter) is binding for found in values):
            continue
        if key.scope and key.scope not in entered:
            close = did_you_mean(key.scope, sorted(entered), "")
            yield Problem.at(
                binding.place,
                f"{key}: the scope {key.scope}/ is never entered.{close} Enter it with '@{key.scope}/Name()', or leave the line out.",
                "error" if close else "warning",
            )
        elif key.part in parts_built:
            yield Problem.at(
                binding.place,
                f"{key} has no effect: wherever {key.part} is built, a scope sets another value. Leave it out.",
                "warning",
            )
        else:
            yield Problem.at(
                binding.place,
                f"{key} has no effect: nothing that train reaches uses {key.part}. Use the part or leave the line out.",
                "warning",
            )


def _start_warning(config: Config) -> Iterator[Problem]:
    if config.start and config.start.run is None:
        binding = next(b for k, b in config.bindings.items() if str(k) == "train.start")
        yield Problem.at(
            binding.place,
            f"train.start = {binding.source}: there is no finished run of that name yet. Run {config.start.experiment} first.",
            "warning",
        )
