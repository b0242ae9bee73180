"""A search is driven from here: when a run is over, the next is proposed, so that nothing idles."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from genever.launch import Condition, cancel_runs
from genever.sweeps._expand import Variant
from genever.sweeps._index import RunIndex
from genever.sweeps._manifest import Element, SweepDirectory
from genever.sweeps._plan import Planner
from genever.sweeps._prepare import Prepared
from genever.sweeps._search import Trial, measured, propose
from genever.sweeps._state import conditions
from genever.sweeps._sweep import Search

__all__ = ["Driver", "trials_of"]

_EVERY_S = 2.0
#: Runs at once where neither the file nor the profile says.
_AT_ONCE = {"local": 1, "slurm": 4}


@dataclass
class Driver:
    """Proposes and submits the runs of a search until it has had all of its own. Whoever calls is its only driver.

    It may be killed at any moment: what it proposed stands in the manifest, what came of it in the runs.

    Args:
        submit: submits those elements of a sweep whose runs were just made.
        tell: is told of every run that is over: the element, how it ended, and the value of the metric.
        wait: lets time pass before it looks again.
    """

    prepared: Prepared
    sweep: SweepDirectory
    submit: Callable[[SweepDirectory], SweepDirectory]
    tell: Callable[[Element, Condition, float | None], None]
    wait: Callable[[], None] = lambda: time.sleep(_EVERY_S)
    _told: set[int] = field(default_factory=set)

    def drive(self) -> bool:
        """Drives the search to its end. False = it was cancelled, or a run failed and the file says to stop then.

        Raises:
            UserError: the cluster refuses.
        """
        search, (profile,) = self._search, self.prepared.profiles.values()
        most = profile.limit or _AT_ONCE[profile.kind]
        while True:
            found = conditions(self.sweep)
            trials = trials_of(self.sweep, found, search.metric)
            self._tell_news(trials, found)
            num_open = sum(not trial.is_over for trial in trials)
            failed = any(one.kind == "failed" for one in found) and self.prepared.sweep.on_failure == "stop"
            if self.sweep.cancelled.exists():
                self._cancel(found)  # Whoever cancelled may not have known of the newest.
                return False
            if failed:
                return False
            if num_open < most and len(trials) < search.num:
                self.sweep = self.submit(self._with_next(trials))
            elif num_open == 0:
                return True
            else:
                self.wait()

    @property
    def _search(self) -> Search:
        search = self.prepared.sweep.search
        assert search
        return search

    def _cancel(self, found: Sequence[Condition]) -> None:
        pairs = [(run, found[element.number]) for element, run in self.sweep.runs()]
        cancel_runs([run for run, one in pairs if one.is_live and one.job is not None])

    def _tell_news(self, trials: Sequence[Trial], found: Sequence[Condition]) -> None:
        for element, trial, condition in zip(self.sweep.elements, trials, found, strict=True):
            if trial.is_over and element.number not in self._told:
                self._told.add(element.number)
                self.tell(element, condition, trial.value)

    def _with_next(self, trials: Sequence[Trial]) -> SweepDirectory:
        """The sweep with one element more, which is checked."""
        sweep, (stage,) = self.prepared.sweep, self.prepared.sweep.stages
        assert self.prepared.metric
        point = propose(self._search, self.prepared.metric[1], trials)
        variant = Variant(number=len(trials), stage=stage.name, varied=point, fixed=stage.fixed)
        planner = Planner(sweep, self.prepared.composer, RunIndex(self.sweep.root))
        planner.add(variant)
        planner.conclude()
        elements = (*self.sweep.elements, planner.plans[variant.number].element)
        return self.sweep.write(replace(self.sweep.manifest, elements=elements))


def trials_of(sweep: SweepDirectory, found: Sequence[Condition], metric: str) -> list[Trial]:
    """The runs of a search as it sees them."""
    trials: list[Trial] = []
    for element, condition in zip(sweep.elements, found, strict=True):
        run = sweep.run_of(element) if condition.kind == "finished" else None
        value = measured(run.facts.get("results", {}), metric) if run else None
        is_over = not condition.is_live and condition.kind != "created"
        trials.append(Trial(element.varied, is_over, value))
    return trials
