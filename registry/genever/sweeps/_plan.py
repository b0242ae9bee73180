"""Every variant of a sweep is composed and checked before the first is submitted."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from genever.errors import UserError, shown_path
from genever.language import Config, Key, Problem, check, resolve
from genever.runs import RunDirectory
from genever.sweeps._compose import Composer, start_binding
from genever.sweeps._expand import Variant
from genever.sweeps._index import RunIndex
from genever.sweeps._manifest import Element
from genever.sweeps._sweep import Sweep

__all__ = ["KEEP_BEST", "Plan", "Planner"]

#: Its check knows what a stage measures; a search's metric is tried out as this.
KEEP_BEST = "train.keep_best"

#: Nobody reads more at once.
_MOST_SHOWN = 30
_COMMAND_LINE = "-b"
_OUR_PLACE = re.compile(r"-b:(\d+)")
_STEPS = Key("", "train", "steps")


@dataclass(frozen=True)
class Plan:
    """A variant without mistakes.

    Args:
        experiment: such as 'digits/pretrain'.
        identity: of its run. None = not known yet, since what it starts from has no run yet.
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


@dataclass
class Planner:
    """Composes variants in the order of their numbers, and collects what is wrong with them."""

    sweep: Sweep
    composer: Composer
    index: RunIndex
    plans: dict[int, Plan] = field(default_factory=dict)
    num_checked: int = 0
    _configs: dict[int, Config] = field(default_factory=dict)
    _problems: Counter[Problem] = field(default_factory=Counter)
    _num_set: Counter[tuple[str, str]] = field(default_factory=Counter)
    _in_vain: dict[tuple[str, str], list[Problem]] = field(default_factory=dict)

    def add(self, variant: Variant) -> None:
        """Composes a variant; a later one may start from it."""
        if variant.start is not None and variant.start not in self.plans:
            return  # Its start has mistakes of its own.
        config = self._config(variant)
        self.num_checked += 1
        self._num_set.update((variant.stage, setting.key) for setting in variant.settings)
        problems = check(config, self.composer.catalog)
        for problem in problems:
            at_home = self._at_home(problem, variant)
            if problem.level == "warning" and problem.file == _COMMAND_LINE:
                key = variant.settings[problem.line - 1].key
                self._in_vain.setdefault((variant.stage, key), []).append(at_home)
            else:
                self._problems[at_home] += 1
        if any(problem.level == "error" for problem in problems):
            return
        resolved = resolve(config, self.composer.catalog)
        is_known = variant.start is None or self.plans[variant.start].run is not None
        run = self.index.find(config.name, resolved.identity) if is_known else None
        if run is None and any(stage.after == variant.stage for stage in self.sweep.stages):
            self._configs[variant.number] = config
        identity, steps = resolved.identity if is_known else None, config.bindings[_STEPS].value
        self.plans[variant.number] = Plan(variant, config.name, identity, run, int(str(steps)), resolved.note)

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

    def _config(self, variant: Variant) -> Config:
        file = self.sweep.stage(variant.stage).experiment
        if variant.start is None:
            return self.composer.config(file, variant.bindings)
        start = self.plans[variant.start]
        run = start.run.path.name if start.run else start.identity or "next"
        bindings = [*variant.bindings, start_binding(f"{start.experiment}/{run}")]
        return self.composer.config(file, bindings, start=self._configs.get(variant.start))

    def _at_home(self, problem: Problem, variant: Variant) -> Problem:
        """A problem of a binding, where the sweep file says it."""
        places = [setting.place for setting in variant.settings]
        places.append(self.sweep.stage(variant.stage).place)
        message = _OUR_PLACE.sub(lambda found: str(places[int(found[1]) - 1]), problem.message)
        if problem.file != _COMMAND_LINE:
            return replace(problem, message=message)
        search = self.sweep.search
        if search and places[problem.line - 1] == search.place and message.startswith(KEEP_BEST):
            message = f"search.metric{message.partition(':')[1]}{message.partition(':')[2]}"
        return Problem.at(places[problem.line - 1], message, problem.level)

    def _line(self, problem: Problem, num: int) -> str:
        total = self.num_checked
        return f"{replace(problem, level='error')}" + (f" (in {num} of {total} runs)" if num < total else "")
