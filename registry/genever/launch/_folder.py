"""What a job is told, on disk: `<root>/.jobs/<name>/`, and in each run's directory which job it is of."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genever.launch._profile import Profile
from genever.runs import RunDirectory, write_whole

if TYPE_CHECKING:
    from genever.launch._cluster import Job

__all__ = ["JobFolder", "RunJob", "arrays", "python_path"]

#: Variables of the submitter that a job needs, wherever it runs.
_KEPT = ("PYTHONPATH", "GENEVER_PLUGINS", "GENEVER_CACHE")


@dataclass(frozen=True)
class JobFolder:
    """An array of jobs, numbered from 0. Its folder's name is the name that the cluster knows it by."""

    path: Path

    @classmethod
    def create(cls, root: Path, jobs: Sequence[Job], profile: Profile, code: Path | None) -> JobFolder:
        """Writes down all that the jobs need, and in each run's job.json which job it is of."""
        name = re.sub(r"[^\w.]+", "-", jobs[0].name)
        folder = cls((root / ".jobs" / f"{name}-{secrets.token_hex(3)}").resolve())
        folder.path.mkdir(parents=True)
        told = {
            "profile": profile.to_dict(),
            "code": str(code.resolve()) if code else None,
            "python": sys.executable,
            "working_folder": os.getcwd(),
            "environment": {name: os.environ[name] for name in _KEPT if name in os.environ},
            "runs": [[str(run.resolve()) for run in job.runs] for job in jobs],
            "rest": str(jobs[0].rest.resolve()) if jobs[0].rest else None,
        }
        write_whole(folder.path / "job.json", json.dumps(told, indent=1))
        for element, job in enumerate(jobs):
            for run in job.runs:
                RunJob(run).submitted(folder, element, job.after)
        return folder

    @property
    def name(self) -> str:
        """Unique; known to the cluster before its id is known to anybody."""
        return self.path.name

    @property
    def id(self) -> str:
        """The cluster's id of the array; its name while that is not known."""
        try:
            return (self.path / "id").read_text(encoding="utf-8").strip() or self.name
        except OSError:
            return self.name

    def note_id(self, value: str) -> None:
        """Writes down the cluster's id, once it is known."""
        write_whole(self.path / "id", f"{value}\n")

    def forget(self) -> None:
        """Removes it: the cluster did not take the jobs."""
        shutil.rmtree(self.path)

    @cached_property
    def told(self) -> dict[str, Any]:
        """job.json: the profile, the code, the runs, and what of the submitter's surroundings a job shares."""
        return json.loads((self.path / "job.json").read_text(encoding="utf-8"))

    @property
    def profile(self) -> Profile:
        return Profile.from_dict(self.told["profile"])

    @property
    def code(self) -> Path | None:
        return Path(self.told["code"]) if self.told["code"] else None

    def shell_lines(self) -> list[str]:
        """What a shell does before a job starts: variables, then the profile's own lines, then the way to the code."""
        profile = self.profile
        variables = {"OMP_NUM_THREADS": str(profile.cpus_per_process), **self.told["environment"], **profile.environment}
        if profile.interface:
            variables["GENEVER_INTERFACE"] = profile.interface
        lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        code = [f'export PYTHONPATH={shlex.quote(str(self.code))}"${{PYTHONPATH:+:$PYTHONPATH}}"'] if self.code else []
        return [*lines, *profile.setup, *code]

    @property
    def rest(self) -> list[RunDirectory]:
        """The runs that do not begin once one of these jobs has failed for good."""
        try:
            lines = Path(self.told["rest"]).read_text(encoding="utf-8").splitlines() if self.told.get("rest") else []
        except OSError:
            lines = []
        return [run for run in map(RunDirectory, map(Path, lines)) if run.is_legible]

    def runs(self, element: int) -> list[RunDirectory]:
        return [RunDirectory(Path(run)) for run in self.told["runs"][element]]

    def has(self, run: RunDirectory) -> bool:
        """Whether a run is still of one of these jobs: somebody may have submitted it anew, or trained it himself."""
        facts = RunJob(run.path).facts
        return not facts or Path(facts.get("folder", "")).name == self.name

    def job(self, element: int) -> str:
        """The id of one job."""
        return f"{self.id}_{element}"

    def log(self, element: int) -> Path | None:
        """What a job printed, all its starts in a row; None = it never started."""
        return next(iter(sorted(self.path.glob(f"*_{element}_0_log.out"))), None)


@dataclass(frozen=True)
class RunJob:
    """A run's job.json: its job, and how often it was started. The submitter writes it first, then its job alone."""

    run: Path

    @cached_property
    def facts(self) -> dict[str, Any]:
        """As it was when first asked for. {} = the run was never part of a job."""
        try:
            return json.loads((self.run / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    @property
    def cancelled(self) -> Path:
        """A file that is there once the run's job was cancelled, and holds why; nothing = somebody wanted it so."""
        return self.run / ".cancelled"

    @property
    def why_cancelled(self) -> str:
        try:
            return self.cancelled.read_text(encoding="utf-8")
        except OSError:  # The run was submitted anew this very moment.
            return ""

    @property
    def folder(self) -> JobFolder | None:
        path = self.facts.get("folder")
        return _known_folder(Path(path)) if path and Path(path).is_dir() else None

    @property
    def awaiting(self) -> list[RunDirectory]:
        """The runs of the job, this one or others, that still need it."""
        if (folder := self.folder) is None:
            return []
        return [run for run in folder.runs(self.facts["element"]) if folder.has(run) and not RunJob(run.path).is_over]

    @property
    def gave_up(self) -> bool:
        """Whether the job starts the run no more, since that would be in vain."""
        return any(attempt.get("gave_up") for attempt in self.attempts)

    @property
    def is_over(self) -> bool:
        """Whether the job has nothing more to do for the run."""
        return self.cancelled.exists() or self.gave_up or RunDirectory(self.run).facts["status"] == "finished"

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The starts of this submission."""
        facts = self.facts
        return facts.get("attempts", [])[facts.get("since", 0) :]

    @property
    def is_taken_over(self) -> bool:
        """Whether somebody else wrote down, since `facts` was read, that the run was submitted or started again."""
        there, known = RunJob(self.run).facts, [attempt["attempt"] for attempt in self.facts.get("attempts", [])]
        started = [attempt["attempt"] for attempt in there.get("attempts", [])]
        return bool(there) and (there.get("folder") != self.facts.get("folder") or not {*started} <= {*known})

    def submitted(self, folder: JobFolder, element: int, after: Iterable[str]) -> None:
        attempts = self.facts.get("attempts", [])
        place = {"folder": str(folder.path), "element": element, "after": list(after), "submitted": time.time()}
        self._write({**place, "attempts": attempts, "since": len(attempts)})
        self.cancelled.unlink(missing_ok=True)

    def taken_here(self) -> None:
        """No cluster is asked: what became of jobs before counts no more."""
        if facts := self.facts:
            attempts = facts.get("attempts", [])
            self._write({"attempts": attempts, "since": len(attempts)})
        self.cancelled.unlink(missing_ok=True)

    def started(self, **attempt: Any) -> None:
        facts = self.facts
        self._write({**facts, "attempts": [*facts.get("attempts", []), attempt]})

    def ended(self, **outcome: Any) -> None:
        facts = self.facts
        *before, last = facts["attempts"]
        self._write({**facts, "attempts": [*before, {**last, **outcome}]})

    def _write(self, facts: dict[str, Any]) -> None:
        self.__dict__["facts"] = facts
        write_whole(self.run / "job.json", json.dumps(facts, indent=1))


def python_path(code: Path) -> str:
    """PYTHONPATH with a snapshot first."""
    return os.pathsep.join([str(code), *filter(None, [os.environ.get("PYTHONPATH")])])


@cache
def _known_folder(path: Path) -> JobFolder:
    """Many runs share a folder, whose job.json never changes."""
    return JobFolder(path)


def arrays(jobs: Iterable[Job], most: int) -> Iterator[list[Job]]:
    """Jobs that can be submitted at one stroke: of one name, and waiting for the same; at most so many at once."""
    for _, group in groupby(jobs, key=lambda job: (job.name, job.after, job.rest)):
        equal = list(group)
        yield from (equal[first : first + most] for first in range(0, len(equal), most))
