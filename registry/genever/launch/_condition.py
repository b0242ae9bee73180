"""What is really going on with a run: from its own files, and from what the cluster says of its job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from genever.launch._cluster import Cluster, JobState
from genever.launch._connect import connect
from genever.launch._folder import RunJob
from genever.launch._profile import Profile
from genever.runs import RunDirectory

__all__ = ["Condition", "cancel_runs", "cancel_waiting", "condition", "look"]

Kind = Literal[
    "created", "queued", "starting", "running", "queued again", "finished", "stopped", "cancelled", "failed", "lost"
]
#: Seconds without a heartbeat after which a run is not believed to live: as such; and once the cluster does not know it.
_SILENT_S, _GONE_S = 300.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Condition:
    """How a run is.

    Args:
        kind: 'starting' = its processes are being started; 'queued again' = it is saved and waits to go on;
            'stopped' = it was asked to, and is saved; 'lost' = it should live or wait, and nothing does.
        reason: why it waits, failed, was cancelled or is lost; '' = nothing to say.
        step: steps taken, or saved where it does not run. None = none yet.
        total: of all steps. None = not known yet.
        seconds_left: None = not running, or not known yet.
        job: its job's id; None = it was never part of one.
    """

    kind: Kind
    reason: str = ""
    step: int | None = None
    total: int | None = None
    seconds_left: float | None = None
    job: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether something is going to happen to the run without anybody's doing."""
        return self.kind in ("queued", "starting", "running", "queued again")


def look(runs: Sequence[RunDirectory]) -> list[Condition]:
    """How these runs are, with one question to each cluster that has one of them."""
    places = [None if run.facts["status"] == "finished" else _place(run) for run in runs]
    states = {key: _cluster(key).states(ids) for key, ids in _by_cluster(places).items()}
    now = time.time()
    return [
        condition(run, states[place.cluster].get(place.job) if place else None, now)
        for run, place in zip(runs, places, strict=True)
    ]


def cancel_runs(runs: Sequence[RunDirectory], *, reason: str = "") -> None:
    """Drops the jobs of these runs from the queue; those that run save and stop. Others in their jobs go on.

    Args:
        reason: why, where nobody asked for it by hand.

    Raises:
        UserError: the cluster does not do it.
    """
    for run in runs:
        RunJob(run.path).cancelled.write_text(reason, encoding="utf-8")
    whole = [run for run in runs if not RunJob(run.path).awaiting]
    for key, ids in _by_cluster(map(_place, whole)).items():
        _cluster(key).cancel(ids)


def cancel_waiting(runs: Sequence[RunDirectory], *, reason: str) -> None:
    """Cancels those of these runs that wait to be trained."""
    waiting = [
        run for run, found in zip(runs, look(runs), strict=True) if found.kind in ("created", "queued", "queued again")
    ]
    cancel_runs(waiting, reason=reason)


def condition(run: RunDirectory, state: JobState | None, now: float) -> Condition:
    """How a run is.

    Args:
        state: what the cluster says of its job; None = it does not know it, or there is none.
        now: seconds since 1970.
    """
    facts = run.facts
    if facts["status"] == "finished":
        return Condition(kind="finished")
    job, beat = RunJob(run.path), _beat(run)
    folder = job.folder
    if folder and not job.attempts:  # What its files say is of an earlier submission.
        facts = {**facts, "status": "created", "reason": None}
    since = max(beat.get("time", 0.0), *(attempt["started"] for attempt in job.attempts[-1:]), facts.get("created", 0.0))
    kind, reason = _seen(facts, state, job, now - since)
    running = kind == "running" and beat.get("time", 0.0) >= facts.get("started", now)
    return Condition(
        kind=kind,
        reason=reason,
        step=beat["step"] if running else max(run.saved_steps(), default=None),
        total=beat.get("total"),
        seconds_left=_seconds_left(facts, beat) if running else None,
        job=folder.job(job.facts["element"]) if folder else None,
    )


class _Place(NamedTuple):
    """Where a run's job is: the cluster's kind, and the root of its queue, if that is what tells it from others."""

    cluster: tuple[Literal["local", "slurm"], Path]
    job: str


def _place(run: RunDirectory) -> _Place | None:
    job = RunJob(run.path)
    folder = job.folder
    if folder is None:
        return None
    kind = folder.profile.kind
    return _Place((kind, folder.path.parent.parent if kind == "local" else Path()), folder.job(job.facts["element"]))


def _by_cluster(places: Iterable[_Place | None]) -> dict[tuple[Literal["local", "slurm"], Path], set[str]]:
    found: dict[tuple[Literal["local", "slurm"], Path], set[str]] = {}
    for place in filter(None, places):
        found.setdefault(place.cluster, set()).add(place.job)
    return found


def _cluster(key: tuple[Literal["local", "slurm"], Path]) -> Cluster:
    kind, root = key
    return connect(Profile(kind=kind), root)


def _seen(facts: Mapping[str, Any], state: JobState | None, job: RunJob, silent_s: float) -> tuple[Kind, str]:
    """What a run that has not finished is up to, and why."""
    status, reason = facts["status"], facts.get("reason") or ""
    if state is None or state.phase == "unknown":
        return _alone(facts, state, job, silent_s)
    if job.gave_up:
        return "failed", _with_log(reason, job)
    if job.cancelled.exists() and (state.phase == "queued" or status not in ("starting", "running")):
        return "cancelled", job.why_cancelled
    if state.phase == "queued":
        return ("queued again" if job.attempts else "queued"), state.reason
    if status == "running" and silent_s < _SILENT_S:
        return "running", "it was asked to end" if state.phase == "leaving" else ""
    if status == "running":
        return "running", f"no heartbeat for {silent_s / 60:.0f} min"
    if status == "stopped":
        return "running", "it was asked to end"
    return ("queued again" if status == "preempted" else "starting"), reason


def _alone(facts: Mapping[str, Any], state: JobState | None, job: RunJob, silent_s: float) -> tuple[Kind, str]:
    """What a run is up to of which no cluster knows anything, or says so."""
    folder, silent = job.folder, f"no heartbeat for {silent_s / 60:.0f} min"
    status, reason = facts["status"], facts.get("reason") or ""
    if status == "failed":
        return "failed", _with_log(reason, job)
    if job.cancelled.exists() and status != "running":
        return "cancelled", job.why_cancelled
    if status in ("stopped", "preempted") and (folder is None or status == "stopped"):
        return "stopped", reason
    if state is not None:
        kinds: dict[str, Kind] = {"created": "queued", "preempted": "queued again", "starting": "starting"}
        return kinds.get(status, "running"), f"{state.reason}{f'; {silent}' if silent_s >= _SILENT_S else ''}"
    if status in ("running", "starting") and silent_s < (_GONE_S if folder else _SILENT_S):
        return "running" if status == "running" else "starting", ""
    if job.cancelled.exists():  # It had no time left to save.
        return "cancelled", job.why_cancelled
    if folder is None:
        return ("created", "") if status == "created" else ("lost", f"{silent}: its process is gone")
    name = f"job {folder.job(job.facts['element'])}"
    if job.attempts:
        return "lost", f"the cluster does not know {name} any more, and there was {silent}"
    if folder.log(job.facts["element"]) is not None:
        return "failed", _with_log(f"{name} ended before the run began", job)
    if after := job.facts["after"]:
        which = f"job {after[0]}" if len(after) == 1 else f"one of the jobs {', '.join(after)}"
        return "cancelled", f"{which} did not succeed, and this one waits for it"
    return "lost", f"the cluster does not know {name}, and it never began"


def _with_log(reason: str, job: RunJob) -> str:
    """A reason that says nothing of its own, with the end of what the job printed."""
    folder = job.folder
    log = folder.log(job.facts["element"]) if folder else None
    if log is None or not reason.endswith(("left no reason", "before the run began", "exit code 2")):
        return reason
    with open(log, "rb") as file:
        file.seek(max(log.stat().st_size - 4096, 0))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return f"{reason}; {log} ends: {' / '.join(lines[-3:]) or 'it is empty'}"


def _beat(run: RunDirectory) -> dict[str, Any]:
    try:
        return json.loads(run.heartbeat.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _seconds_left(facts: Mapping[str, Any], beat: Mapping[str, Any]) -> float | None:
    taken, seconds = beat["step"] - beat["first"], beat["time"] - facts["started"]
    return seconds / taken * (beat["total"] - beat["step"]) if taken > 0 and seconds > 0 else None
