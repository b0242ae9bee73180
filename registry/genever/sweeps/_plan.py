"""Every variant of a sweep is composed and checked before the first is submitted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from genever.errors import COMMAND_LINE, UserError, shown_path
from genever.language import Config, Key, Place, Problem, check, resolve
from genever.language._parts import parts_of
from genever.language._values import source
from genever.runs import RunDirectory
from genever.sweeps._compose import Composer
from genever.sweeps._expand import Variant
from genever.sweeps._index import RunIndex
from genever.sweeps._manifest import Element
from genever.sweeps._sweep import Point, Setting, Sweep

__all__ = ["KEEP_BEST", "Example", "Plan", "Planner"]

#: Its check knows what a stage measures; a search's metric is tried out as this.
KEEP_BEST = "train.keep_best"

#: Nobody reads more at once.
_MOST_SHOWN = 30
_OUR_PLACE = re.compile(r"-b:(\d+)")
_STEPS = Key("", "train", "steps")
_SEED = "train.seed"


@dataclass(frozen=True)
class Plan:
    """A variant without mistakes.

    Args:
        experiment: such as 'digits/pretrain'.
        identity: of its run. None = not known yet, since a parent has no run yet.
        run: the run there is already. None = there is none.
        steps: that it trains.
        note: why no run can be made of it now, in a sentence; '' = nothing is in the way.
    """

    variant: Variant
    experiment: str
    identity: str | None
    run: RunDirectory | None
    steps: int
    note: str

    @property
    def element(self) -> Element:
        """Its line in the manifest."""
        run = f"{self.experiment}/{self.run.path.name}" if self.run else None
        return replace(self.variant.element, identity=self.identity, run=run)


@dataclass(frozen=True)
class Origin:
    """Where a sweep file says what a variant binds.

    Args:
        settings: all of its bindings, in their order.
        stage: where its experiment is named.
    """

    settings: Point
    stage: Place

    def of(self, place: Place) -> Place:
        """Where that stands which a config places on the command line."""
        if place.file != COMMAND_LINE:
            return place
        # Beyond the settings lies what was pinned for the experiment itself.
        return self.settings[place.line - 1].place if place.line <= len(self.settings) else self.stage


@dataclass(frozen=True)
class Example:
    """A run that has yet to be made."""

    stage: str
    config: Config
    origin: Origin


@dataclass
class Planner:
    """Composes variants in the order of their numbers, and collects what is wrong with them.

    Args:
        examples: runs that are to be made, such that each value that varies is in one of them, but for seeds.
        planned: what composes the runs that others name and that are not there yet, by those names.
    """

    sweep: Sweep
    composer: Composer
    index: RunIndex
    plans: dict[int, Plan] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    planned: dict[str, Config] = field(default_factory=dict)
    num_checked: int = 0
    _problems: Counter[Problem] = field(default_factory=Counter)
    _num_set: Counter[tuple[str, str]] = field(default_factory=Counter)
    _in_vain: dict[tuple[str, str], list[Problem]] = field(default_factory=dict)
    _seen: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, variant: Variant) -> None:
        """Composes a variant; a later one may name its run."""
        parents = [self.plans.get(number) for number in variant.parents.values()]
        if None in parents:
            return  # A parent has mistakes of its own.
        settings = self._settings(variant)
        bindings = [str(setting) for setting in settings]
        config = self.composer.config(self.sweep.stage(variant.stage).experiment, bindings, planned=self.planned)
        self.num_checked += 1
        self._num_set.update((variant.stage, setting.key) for setting in settings)
        problems = self._problems_of(config, len(variant.settings))
        for problem in problems:
            at_home = self._at_home(problem, variant, settings)
            if problem.level == "warning" and problem.file == COMMAND_LINE and problem.line <= len(settings):
                key = settings[problem.line - 1].key
                self._in_vain.setdefault((variant.stage, key), []).append(at_home)
            else:
                self._problems[at_home] += 1
        if any(problem.level == "error" for problem in problems):
            return
        resolved = resolve(config, self.composer.catalog)
        is_known = all(parent and parent.run for parent in parents)
        run = self.index.find(config.name, resolved.identity) if is_known else None
        identity, steps = resolved.identity if is_known else None, config.bindings[_STEPS].value
        plan = Plan(variant, config.name, identity, run, int(str(steps)), resolved.note)
        self.plans[variant.number] = plan
        if run is None and self._is_new_kind(variant):
            self.examples.append(Example(variant.stage, config, self._origin(variant, settings)))
        if run is None and any(link.stage == variant.stage for stage in self.sweep.stages for link in stage.after):
            self.planned[_name(plan)] = config

    def conclude(self) -> list[str]:
        """The warnings of all variants.

        Raises:
            UserError: with every mistake. What a sweep binds in vain in every run of a stage is one.
        """
        found = {problem: num for problem, num in self._problems.items() if problem.level == "error"}
        found |= {vain[0]: len(vain) for key, vain in self._in_vain.items() if len(vain) == self._num_set[key]}
        if not found:
            return sorted(map(str, self._problems))
        lines = [self._line(problem, num) for problem, num in sorted(found.items(), key=lambda one: one[0].line)]
        if len(lines) > _MOST_SHOWN:
            lines = [*lines[:_MOST_SHOWN], f"and {len(lines) - _MOST_SHOWN} more"]
        num = f"{len(found)} mistake{'s' * (len(found) > 1)}"
        raise UserError("\n".join([f"{shown_path(self.sweep.path)} has {num}; nothing was submitted.", *lines]))

    def _settings(self, variant: Variant) -> Point:
        """All that is set, its parents' runs last."""
        links = self.sweep.stage(variant.stage).after
        runs = (source(_name(self.plans[variant.parents[link.key]])) for link in links)
        return (*variant.settings, *(Setting(link.key, run, link.place) for link, run in zip(links, runs, strict=True)))

    def _problems_of(self, config: Config, num_settings: int) -> list[Problem]:
        """What is wrong with a variant. Of a key that is to name a parent's run, and names none, nothing else is said."""
        parts = parts_of(self.composer.catalog)
        given = (one for one in config.bindings.values() if one.place.file == COMMAND_LINE and one.place.line > num_settings)
        foreign = {one.place: one.key for one in given if parts.takes_run(one.key.part, one.key.parameter) is False}
        found = [one for one in check(config, self.composer.catalog) if Place(one.file, one.line) not in foreign]
        message = "{} is no name of a run, but 'after' puts one there. Write a key that is, such as train.start."
        return [*found, *(Problem.at(place, message.format(key)) for place, key in foreign.items())]

    def _at_home(self, problem: Problem, variant: Variant, settings: Point) -> Problem:
        """A problem of a binding, where the sweep file says it."""
        origin = self._origin(variant, settings)
        message = _OUR_PLACE.sub(lambda found: str(origin.of(Place(COMMAND_LINE, int(found[1])))), problem.message)
        if problem.file != COMMAND_LINE:
            return replace(problem, message=message)
        place, search = origin.of(Place(COMMAND_LINE, problem.line)), self.sweep.search
        if search and place == search.place and message.startswith(KEEP_BEST):
            message = f"search.metric{message.partition(':')[1]}{message.partition(':')[2]}"
        return Problem.at(place, message, problem.level)

    def _origin(self, variant: Variant, settings: Point) -> Origin:
        return Origin(settings, self.sweep.stage(variant.stage).place)

    def _is_new_kind(self, variant: Variant) -> bool:
        """Whether it has a value that none before it had, or is the first of its stage; seeds do not count."""
        values = {(variant.stage, one.key, one.text) for one in variant.varied if one.key != _SEED}
        new = (values or {(variant.stage, "", "")}) - self._seen
        self._seen |= new
        return bool(new)

    def _line(self, problem: Problem, num: int) -> str:
        total = self.num_checked
        return f"{replace(problem, level='error')}" + (f" (in {num} of {total} runs)" if num < total else "")


def _name(plan: Plan) -> str:
    """The run that there is, or the one that is to be, as a stage names it."""
    return f"{plan.experiment}/{plan.run.path.name if plan.run else f'new-{plan.variant.number}'}"
