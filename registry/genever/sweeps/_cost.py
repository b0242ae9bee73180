"""What a sweep would cost: at most, from its resources, and probably, from runs that have finished."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from genever.launch import Profile
from genever.launch._folder import RunJob
from genever.runs import RunDirectory
from genever.sweeps._plan import Plan

__all__ = ["Cost", "Speedometer", "cost_of"]

#: The newest runs say best how fast the next ones will be.
_MOST_LOOKED_AT = 20
_STEPS = re.compile(r"^train\.steps = (\d+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some runs of one stage would cost.

    Args:
        num_runs: that would be submitted.
        num_jobs: that they would be packed into.
        cpu_hours: reserved at most, if no run needs a second start.
        gpu_hours: likewise.
        hours: that the runs would probably train, all of them together. None = no run like them has finished.
        num_measured: finished runs that say so.
    """

    num_runs: int
    num_jobs: int
    cpu_hours: float
    gpu_hours: float
    hours: float | None
    num_measured: int


def cost_of(plans: Sequence[Plan], profile: Profile, runs_per_job: int, speedometer: Speedometer) -> Cost:
    """What the runs of some plans of one stage would cost."""
    num_jobs = -(-len(plans) // runs_per_job)
    processes = num_jobs * profile.num_processes * profile.minutes / 60
    speeds = speedometer.seconds_per_step(plans[0].experiment) if plans else ()
    return Cost(
        num_runs=len(plans),
        num_jobs=num_jobs,
        cpu_hours=processes * profile.cpus_per_process,
        gpu_hours=processes * profile.gpus_per_process,
        hours=sum(plan.steps for plan in plans) * median(speeds) / 3600 if speeds else None,
        num_measured=len(speeds),
    )


class Speedometer:
    """How long a step took in the finished runs of a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds_per_step = cache(self._measure)

    def _measure(self, experiment: str) -> tuple[float, ...]:
        """Seconds for a step of each of the newest runs of an experiment that trained in one go."""
        newest = sorted((self.root / experiment).glob("*/run.json"), reverse=True)
        found: list[float] = []
        for file in newest:
            seconds = _seconds_per_step(RunDirectory(file.parent))
            found += [] if seconds is None else [seconds]
            if len(found) == _MOST_LOOKED_AT:
                break
        return tuple(found)


def _seconds_per_step(run: RunDirectory) -> float | None:
    try:
        facts = run.facts
        steps = _STEPS.search(run.resolved.read_text(encoding="utf-8"))
        whole = facts["status"] == "finished" and len(RunJob(run.path).facts.get("attempts", ())) <= 1
        return (facts["ended"] - facts["started"]) / int(steps[1]) if steps and whole else None
    except (OSError, KeyError, TypeError, json.JSONDecodeError):
        return None
