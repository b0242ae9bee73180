"""Everything that is wrong with an experiment, in one pass and without importing a part."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice

from genever.errors import COMMAND_LINE, MAX_PROBLEMS, Place, Problem, did_you_mean, listed, nearest, shown_path
from genever.language._abilities import missing_abilities
from genever.language._annotations import kind_of
from genever.language._composition import Composition, Node, compose
from genever.language._config import Binding, Config
from genever.language._kinds import slots_in
from genever.language._measured import unmeasured_best
from genever.language._parts import ROOT, Parts, parts_of
from genever.language._teacher import misread_teacher
from genever.language._unused import unused_macros, without_effect
from genever.language._values import shown
from genever.parts import BrokenPartError, Catalog, Parameter, Surface
from genever.slots import SLOTS

__all__ = ["check"]


def check(config: Config, catalog: Catalog) -> list[Problem]:
    """All problems of a config, by file and line; those of `-b` last."""
    return list(_checked(config, parts_of(catalog)))


@lru_cache(maxsize=1)
def _checked(config: Config, parts: Parts) -> tuple[Problem, ...]:
    """Kept, since whoever freezes a config has usually just checked it."""
    composition = compose(config.bindings, parts)
    circles = tuple(_cycles(composition))
    found = chain(
        config.problems,
        (problem for binding in config.bindings.values() for problem in _judged(binding, parts)),
        _missing(config, composition, parts),
        circles,
        () if circles else _of_inner_parts(config, composition, parts),
        unused_macros(config, parts),
        _in_vain(config, composition, parts),
        _not_yet_run(config),
    )
    first = dict.fromkeys(islice(found, MAX_PROBLEMS))
    return tuple(sorted(first, key=lambda problem: (problem.file == COMMAND_LINE, problem.file, problem.line)))


@lru_cache(maxsize=4096)
def _judged(binding: Binding, parts: Parts) -> tuple[Problem, ...]:
    return tuple(_Judge(binding, parts).problems())


def _of_inner_parts(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """What a part says by the parts that it names, which is endless where they need each other in a circle."""
    yield from missing_abilities(config, composition, parts)
    if config.readable and config.complete:
        yield from unmeasured_best(composition, parts)
        yield from misread_teacher(config, composition, parts)


def _in_vain(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """What only a whole file can tell: where lines are missing, they may be those that are missed."""
    if config.readable and config.complete:
        yield from without_effect(config, composition, parts, _in_doubt(composition, parts))


def _in_doubt(composition: Composition, parts: Parts) -> frozenset[str]:
    """The slots of values that are wrong: which part was meant there is not known."""
    wrong = (binding for binding in composition.effective if _judged(binding, parts))
    surfaces = ((binding.key.parameter, parts.readable(binding.key.part)) for binding in wrong)
    known = (parameter for name, surface in surfaces if surface and (parameter := surface.parameter(name)))
    return frozenset(slot for parameter in known for slot in slots_in(kind_of(parameter.annotation)))


class _Judge:
    """Judges one binding by itself: its part, its parameter, its value."""

    def __init__(self, binding: Binding, parts: Parts) -> None:
        self.binding, self.parts, self.key = binding, parts, binding.key
        surface = parts.readable(binding.key.part)
        self.parameter = surface.parameter(binding.key.parameter) if surface else None

    def problems(self) -> Iterator[Problem]:
        for message in (*self._key_messages(), *self._reference_messages()):
            yield Problem.at(self.binding.place, message)

    def _key_messages(self) -> Iterator[str]:
        surface = self.parts.readable(self.key.part)
        if _is_of_gin(self.key.part, self.parts):
            yield f"{self.key} sets something of gin's own, which Genever does not have. Leave the line out."
        elif unknown := self._unknown_part(self.key.part, str(self.key), ()):
            yield unknown
        elif surface and self.parameter is None:
            yield from _unknown_parameter(self.key.parameter, surface)
        elif self.parameter:
            complaint = kind_of(self.parameter.annotation).complaint(self.binding.value, self.parts)
            if complaint:
                yield complaint.about(self.key) + _from_macros(self.binding)

    def _reference_messages(self) -> Iterator[str]:
        wanted = tuple(slots_in(kind_of(self.parameter.annotation))) if self.parameter else ()
        for leaf in dict.fromkeys(self.binding.references):
            here = f"{self.key} = {shown(leaf)}"
            if _is_of_gin(leaf.part, self.parts):
                yield f"{here} is of gin itself; Genever builds a part anew wherever it is named. Write '@Name()'."
            elif leaf.part == ROOT:
                yield f"{here}: train is what a file composes, not a part. Name a part."
            elif unknown := self._unknown_part(leaf.part, here, wanted):
                yield unknown
            elif not leaf.called:
                yield f"{here} names the part without building it. Write {shown(leaf)}()."

    def _unknown_part(self, name: str, written: str, wanted: tuple[str, ...]) -> str | None:
        """What is wrong with a part's name.

        Args:
            wanted: the slots that it should be of.
        """
        found = self.parts.find(name)
        if len(found) > 1:
            offers = [f"{full} ({_distribution(self.parts, full)})" for full in found]
            return f"{written}: {name} could be {' or '.join(offers)}. Write the full name."
        if found:
            return _unusable(found[0], self.parts)
        if name in SLOTS:
            choices = listed(self.parts.choices(name), 12)
            return f"{written}: {name} is a slot, not a part. Write train.{name} = @Name(), with one of: {choices}."
        blamed = _blame(name, self.parts)
        fitting = [full for slot in wanted for full in self.parts.of_slot(slot)]
        choices = listed(map(self.parts.short, fitting), 12)
        others = f" Choose from: {choices}." if fitting else " 'genever parts' lists all."
        close = did_you_mean(name, fitting) or did_you_mean(name, (*self.parts.names, ROOT))
        hint = close or ("" if blamed else others)
        return f"{written}: there is no part {name}.{hint}{blamed}"


def _is_of_gin(name: str, parts: Parts) -> bool:
    return name.startswith("gin.") or (name in ("macro", "constant", "singleton") and not parts.find(name))


def _from_macros(binding: Binding) -> str:
    """Where a value came from that is not written in the binding itself."""
    return "".join(f" %{macro.name} is set at {macro.place}." for macro in binding.macros[:2])


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
    # Whatever is both here and among the parts of a refused plugin collides, not only the first, which its reason names.
    rivals = [report for report in parts.catalog.broken(name) if name in report.tried] if name != ROOT else []
    if rivals:
        offers = [_distribution(parts, name), *(f"{rival.distribution} {rival.version}".strip() for rival in rivals)]
        return f"The part {name} is offered by {' and by '.join(offers)}. Leave one of them out with GENEVER_PLUGINS."
    return None


def _unknown_parameter(name: str, surface: Surface) -> Iterator[str]:
    names = tuple(parameter.name for parameter in surface.parameters)
    # What takes any keyword would swallow a typo in silence.
    if nearest(name, names) or not surface.accepts_any:
        yield f"{surface.name} has no parameter {name}.{did_you_mean(name, names)} It has: {listed(names)}."


def _missing(config: Config, composition: Composition, parts: Parts) -> Iterator[Problem]:
    """Parameters without which a part cannot be built."""
    if not config.complete:
        return
    said: set[tuple[str, str]] = set()
    for node, values in composition.values.items():
        for parameter in parts.required(node.part):
            if parameter.name not in values and (node.part, parameter.name) not in said:
                said.add((node.part, parameter.name))
                place = composition.place_of(node, Place(config.file, 1))
                yield Problem.at(place, _missing_message(node, parameter, parts))


def _missing_message(node: Node, parameter: Parameter, parts: Parts) -> str:
    example = f"{parts.short(node.part)}.{parameter.name} = {kind_of(parameter.annotation).example(parts)}"
    meaning = f" It is: {parameter.doc.rstrip('.')}." if parameter.doc else ""
    return f"{node.part}.{parameter.name} is not set, but needed.{meaning} Set it, as in: {example}"


def _cycles(composition: Composition) -> Iterator[Problem]:
    sorter = TopologicalSorter({node: set(composition.children(node)) for node in composition.values})
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = list(reversed(error.args[1]))
        names = " -> ".join("/".join([*node.scopes, node.part]) for node in cycle)
        bindings = composition.values[cycle[0]].values()
        place = next(b.place for b in bindings if cycle[1] in composition.named_by(cycle[0], b.key.parameter))
        yield Problem.at(place, f"Parts need each other in a circle: {names}. One of them must be given something else.")


def _not_yet_run(config: Config) -> Iterator[Problem]:
    for key, named in config.named_runs.items():
        if named.run is None:
            binding = config.bindings[key]
            file = shown_path(named.experiment) if named.experiment else "it"
            message = f"{key} = {binding.source}: there is no finished run of that name yet. Run {file} first."
            yield Problem.at(binding.place, message, "warning")
