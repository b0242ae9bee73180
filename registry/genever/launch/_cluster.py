"""What is asked of a cluster, and of nothing else: take jobs, say how they are, drop them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

__all__ = ["Cluster", "Job", "JobState"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """Runs that share one allocation, all at the same time.

    Args:
        name: shown by the cluster; jobs of one name that wait for the same jobs are submitted together, as one array.
        runs: their directories, which exist; all that a job is told.
        after: ids of the jobs that must have succeeded. If one does not, this job is dropped from the queue.
        rest: a file of runs' directories, one a line; those that wait are cancelled once a run of this job has failed for
            good. None = the others go on.
        beside: ids of jobs that count towards the profile's limit as well. A local queue counts all of its own.
    """

    name: str
    runs: tuple[Path, ...]
    after: tuple[str, ...] = ()
    rest: Path | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobState:
    """What the cluster says of a job that it knows.

    Args:
        phase: 'leaving' = it was told to end and is about to; 'unknown' = the cluster does not answer.
        reason: why it waits, or why the cluster does not answer, in its own words; '' = it gave none.
    """

    phase: Literal["queued", "running", "leaving", "unknown"]
    reason: str = ""


class Cluster(Protocol):
    """A queue of jobs. An id names one job for good: it outlives requeueing, and the process that submitted it."""

    def submit(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
        """Submits jobs and gives each its id. Nothing is submitted that is not asked for with next().

        Every run's job.json names its job before the cluster hears of it, so that a submission cut off is not lost.

        Raises:
            UserError: the cluster refuses; the message names the profile's setting that it refuses.
        """
        ...

    def states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """How these jobs are, from one question; a job that is absent is over, or was never known."""
        ...

    def cancel(self, ids: Collection[str]) -> None:
        """Drops what is queued, and asks what is running to save and stop. Unknown ids are passed over."""
        ...
