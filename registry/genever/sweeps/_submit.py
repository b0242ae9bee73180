"""From a manifest to jobs: runs that are missing are made, and those that nobody trains are submitted.

At whatever moment a submitter is killed, the next one finds what it left: runs by their identity, jobs by their runs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from genever.errors import UserError
from genever.launch import Condition, Job, Profile, RunJob, connect, freeze_code
from genever.runs import RunDirectory, surroundings, write_whole
from genever.sweeps._compose import Composer
from genever.sweeps._make import make_runs
from genever.sweeps._manifest import Element, StageRecord, SweepDirectory
from genever.sweeps._state import conditions_of

__all__ = ["Submission", "Submitter", "continues", "retries"]

#: Seconds in which whoever made a run outside a sweep starts to train it.
_STARTING_S = 120.0
#: Runs that take more than a moment to be made.
_MANY = 200
#: Runs to be submitted, and the jobs that each waits for.
_Waiting = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What became of a sweep that was submitted.

    Args:
        runs: that were submitted now, '<experiment>/<id>'.
        left_out: elements that lack what they wait for: a parent failed, was cancelled, or is trained by hand.
    """

    sweep: SweepDirectory
    runs: tuple[str, ...]
    left_out: tuple[Element, ...]


def continues(condition: Condition) -> bool:
    """Whether `genever sweep` goes on with a run that nobody trains. What failed would fail again."""
    return condition.kind != "failed"


def retries(condition: Condition) -> bool:
    """Whether `genever retry` goes on with it: with all that was not stopped or cancelled by somebody."""
    return condition.kind in ("created", "failed", "lost") or (condition.kind == "cancelled" and condition.reason != "")


@dataclass(frozen=True)
class Submitter:
    """Submits sweeps; whoever calls is alone in the root. All its jobs run from the same code."""

    composer: Composer

    @cached_property
    def _facts(self) -> Callable[[Path], Mapping[str, Any]]:
        """What runs of the experiments in a folder remember, as it was when the first was made."""
        return cache(lambda folder: surroundings(self.composer.catalog, folder))

    @cached_property
    def _code(self) -> Path:
        return freeze_code(self.composer.root, self.composer.catalog)

    def submit(self, sweep: SweepDirectory, goes_again: Callable[[Condition], bool]) -> Submission:
        """Submits every element whose run is neither finished nor in hand.

        Args:
            goes_again: whether a run in this condition, which nobody trains, is submitted.

        Raises:
            UserError: a cluster refuses, a job would have to wait for one of another cluster, or an experiment has changed
                and has mistakes now. What is in is in.
        """
        conditions = conditions_of(sweep, {})
        jobs: dict[str, str] = {}  # By run: the job that ends it, '' where it is finished. Absent: nothing will come of it.
        submitted: list[str] = []
        left_out: list[Element] = []
        for stage in sweep.manifest.stages:
            elements = sweep.manifest.of_stage(stage.name)
            parents = {one.number: [sweep.elements[number].run or "" for number in one.after] for one in elements}
            ready = [one for one in elements if all(run in jobs for run in parents[one.number])]
            left_out += [one for one in elements if not all(run in jobs for run in parents[one.number])]
            sweep = self._with_runs(sweep, stage, ready)
            conditions = conditions_of(sweep, conditions)
            needed = {sweep.elements[one.number].run or "": parents[one.number] for one in ready}
            jobs |= {run: conditions[run].job or "" for run in needed if _is_in_hand(conditions[run])}
            waiting = {
                run: _jobs_of(sweep, stage, run, {other: jobs[other] for other in others if jobs[other]})
                for run, others in needed.items()
                if run not in jobs and goes_again(conditions[run]) and not _is_somebody_elses(sweep, run, conditions[run])
            }
            live = {run or "": one.job or "" for run, one in conditions.items() if one.is_live}
            for job, number in self._submitted(sweep, stage, waiting, _limited_with(sweep, stage, {**live, **jobs})):
                runs = [run.relative_to(sweep.root).as_posix() for run in job.runs]
                jobs |= dict.fromkeys(runs, number)
                submitted += runs
        return Submission(sweep=sweep, runs=tuple(submitted), left_out=tuple(left_out))

    def _with_runs(self, sweep: SweepDirectory, stage: StageRecord, elements: Sequence[Element]) -> SweepDirectory:
        new = sum(element.run is None for element in elements)
        if new > _MANY:
            print(f"making {new:,} runs in {sweep.root}", file=sys.stderr, flush=True)
        facts = self._facts(Path(stage.file).parent) if new else {}
        return make_runs(sweep, stage, elements, self.composer, facts)

    def _submitted(
        self, sweep: SweepDirectory, stage: StageRecord, waiting: _Waiting, beside: tuple[str, ...]
    ) -> Iterator[tuple[Job, str]]:
        if not waiting:
            return iter(())
        write_whole(sweep.runs_file, "".join(f"{run.path}\n" for _, run in sweep.runs()))
        cluster = connect(Profile.from_dict(stage.profile), sweep.root, code=self._code)
        return cluster.submit(_packed(sweep, stage, waiting, beside))


def _cluster_of(run: Path) -> str:
    """The kind of the cluster that has a run's job; '' = there is none."""
    folder = RunJob(run).folder
    return folder.profile.kind if folder else ""


def _limited_with(sweep: SweepDirectory, stage: StageRecord, jobs: Mapping[str, str]) -> tuple[str, ...]:
    """The jobs that count towards the limit of a stage as well, from those of all runs: what its cluster has in hand."""
    if stage.profile["limit"] is None:
        return ()
    kind = stage.profile["kind"]
    return tuple(dict.fromkeys(job for run, job in jobs.items() if job and _cluster_of(sweep.root / run) == kind))


def _jobs_of(sweep: SweepDirectory, stage: StageRecord, run: str, jobs: Mapping[str, str]) -> tuple[str, ...]:
    """The jobs that a run waits for, each once, from those of its parents. A cluster knows no jobs but its own."""
    kind = stage.profile["kind"]
    for path, job in ((sweep.root / parent, job) for parent, job in jobs.items()):
        if (other := _cluster_of(path)) != kind:
            raise UserError(
                f"{sweep.root / run} is to run on {kind}, but {path}, which it waits for, is in hand on {other} as "
                f"job {job}. Wait until that has finished, name its cluster with --on {other}, or cancel it: "
                f"genever cancel {path}"
            )
    return tuple(dict.fromkeys(jobs.values()))


def _packed(sweep: SweepDirectory, stage: StageRecord, waiting: _Waiting, beside: tuple[str, ...]) -> list[Job]:
    """Jobs for some runs."""
    name = f"{sweep.name}-{stage.name}" if stage.name else sweep.name
    rest = sweep.runs_file if sweep.manifest.on_failure == "stop" else None
    jobs: list[Job] = []
    for after, group in groupby(waiting, key=lambda run: waiting[run]):
        runs = [sweep.root / run for run in group]
        for first in range(0, len(runs), stage.runs_per_job):
            together = tuple(runs[first : first + stage.runs_per_job])
            jobs.append(Job(name=name, runs=together, after=after, rest=rest, beside=beside))
    return jobs


def _is_in_hand(condition: Condition) -> bool:
    """Whether a run is finished, or a job will see to it."""
    return condition.kind == "finished" or (condition.is_live and condition.job is not None)


def _is_somebody_elses(sweep: SweepDirectory, run: str, condition: Condition) -> bool:
    """Whether somebody trains a run by hand, or made it outside any sweep and may be about to."""
    facts = RunDirectory(sweep.root / run).facts
    is_new = condition.kind == "created" and "sweep" not in facts and time.time() - facts.get("created", 0) < _STARTING_S
    return condition.is_live or is_new
