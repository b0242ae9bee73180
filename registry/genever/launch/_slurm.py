"""SLURM: one array for jobs alike, one question for all states, and what a job does when it has to leave."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from genever.errors import UserError
from genever.launch._cluster import Job, JobState
from genever.launch._folder import JobFolder, RunJob, arrays
from genever.launch._profile import Profile
from genever.launch._ranks import FAILED, REQUEUE, STOPPED, spawn_step
from genever.launch._supervisor import supervise

__all__ = ["Slurm", "run_job"]

_QUEUED = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD")
_LEAVING = ("COMPLETING", "SIGNALING", "STOPPED")
#: Seconds for which a job goes on asking to be queued again while the controller does not answer.
_PATIENCE_S = 600.0
#: The most ids in one call.
_MOST_IDS = 500


@dataclass(frozen=True)
class Slurm:
    """The cluster whose sbatch, squeue and scancel are on the path."""

    profile: Profile
    root: Path
    code: Path | None = None

    def submit(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
        """As `Cluster.submit`."""
        from genever.launch._sbatch import sbatch

        # SLURM limits the jobs of one array. Of several each has so many of the slots, once those that had them are over.
        slots = deque[tuple[str, ...]]([()] * (self.profile.limit or 0))
        for array in self._at_work({one for job in jobs for one in job.beside}) if slots else ():
            slots.append((*slots.popleft(), array))
        for group in arrays(jobs, self.profile.slurm.max_array_size):
            folder = JobFolder.create(self.root, group, self.profile, self.code)
            taken = [slots.popleft() for _ in range(min(len(slots), len(group)))]
            earlier = list(dict.fromkeys(chain(*taken)))
            try:
                folder.note_id(sbatch(folder, len(group), after=_numbered(group[0].after), earlier=earlier))
            except UserError:
                folder.forget()
                raise
            slots.extend([(folder.id,)] * len(taken))
            yield from ((job, folder.job(element)) for element, job in enumerate(group))

    def _at_work(self, ids: Collection[str]) -> list[str]:
        """The array of each of these jobs that is not over."""
        try:
            return [line.job.rpartition("_")[0] for line in _squeue() if {line.job, line.named} & {*ids}] if ids else []
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"SLURM does not say which jobs are over, and limit = {self.profile.limit} counts those that are not: "
                f"{_why(error)}. Submit again once it answers, or without a limit."
            ) from error

    def states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """As `Cluster.states`; without accounting too."""
        wanted = set(ids)
        try:
            return {known: line.state for line in _squeue() for known in (line.job, line.named) if known in wanted}
        except (OSError, subprocess.CalledProcessError) as error:
            return dict.fromkeys(wanted, JobState("unknown", _why(error)))

    def cancel(self, ids: Collection[str]) -> None:
        """As `Cluster.cancel`."""
        wanted = set(ids)
        try:
            known = [line.job for line in _squeue() if wanted & {line.job, line.named}]
            for first in range(0, len(known), _MOST_IDS):
                _ask("scancel", *known[first : first + _MOST_IDS])
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"SLURM does not take jobs out of its queue: {_why(error)}. What runs saves and stops all the same, "
                "and what waits will not train when it starts."
            ) from error


def run_job(folder: JobFolder, element: int) -> int:
    """What a SLURM job does. Where a run has to be started again, the job goes back into the queue, once."""
    if folder.id == folder.name:
        folder.note_id(os.environ["SLURM_ARRAY_JOB_ID"])
    profile, job = folder.profile, folder.job(element)
    code = supervise(
        folder.runs(element),
        spawn_step(profile, device=None if profile.gpus_per_process else "cpu"),
        token=f"{job}-{_num_restarts()}",
        retries=profile.retries,
        has_place=lambda: _has_place(job),
        has=folder.has,
    )
    cancelled = all(RunJob(run.path).cancelled.exists() for run in folder.runs(element))
    return _leave(job, code) if code in (REQUEUE, STOPPED) and not cancelled else code


def _leave(job: str, code: int) -> int:
    """Has SLURM queue a job again that was asked to leave, unless somebody else ends it or queues it already.

    Where SLURM knows no other signal to send, it says with SIGTERM, as to a job that is cancelled, that it takes the place
    away. As long as the controller does not answer, nothing is decided.
    """
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            told = _ask("scontrol", "show", "job", job)
            runs, taken_away = "JobState=RUNNING" in told and _is_this_start(told), re.search(r"PreemptTime=\d", told)
            if not runs or (code == STOPPED and not taken_away):
                return STOPPED
            _ask("scontrol", "requeue", job)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"job {job} cannot be queued again: {_why(error)}", file=sys.stderr, flush=True)
            if time.monotonic() > until:
                return FAILED
            time.sleep(5)
        else:
            time.sleep(60)  # SLURM ends this process meanwhile.
            return REQUEUE


def _has_place(job: str) -> bool | None:
    """Whether SLURM still means this process when it speaks of the job. None = it does not answer.

    Where it takes a node for dead, it queues the job again, and knows no more of what lives on there.
    """
    try:
        told = _ask("scontrol", "show", "job", job)
    except (OSError, subprocess.CalledProcessError):
        return None
    return _is_this_start(told) and not re.search("JobState=(PENDING|COMPLETING|REQUEUED|NODE_FAIL)", told)


def _is_this_start(told: str) -> bool:
    return re.search(rf"Restarts={_num_restarts()}\b", told) is not None


def _num_restarts() -> str:
    return os.environ.get("SLURM_RESTART_COUNT", "0")


@dataclass(frozen=True)
class _Line:
    """What squeue says of one element of an array.

    Args:
        named: its id with the array's name in place of its number.
    """

    job: str
    named: str
    state: JobState


def _squeue() -> Iterator[_Line]:
    for line in _ask("squeue", "--me", "--array", "--noheader", "--format=%F_%K|%j_%K|%T|%r").splitlines():
        job, named, state, reason = line.split("|", 3)
        phase = "queued" if state in _QUEUED else "leaving" if state in _LEAVING else "running"
        yield _Line(job, named, JobState(phase, reason if phase == "queued" and reason != "None" else ""))


def _numbered(ids: Sequence[str]) -> list[str]:
    """Ids in SLURM's numbers, also of jobs that are known by name only."""
    if all(job.rpartition("_")[0].isdigit() for job in ids):
        return list(ids)
    numbers = {line.named: line.job for line in _squeue()}
    return [numbers.get(job, job) for job in ids]


def _ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


def _why(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename} is not on this machine" if isinstance(error, FileNotFoundError) else str(error)
    return " ".join((error.stderr or "").split()) or f"{error.cmd[0]} ended with exit code {error.returncode}"
