"""A queue on this machine, in `<root>/.queue/`. A process of its own works it off, and ends when nothing is left."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from genever.errors import UserError
from genever.launch._cluster import Job, JobState
from genever.launch._folder import JobFolder, arrays, python_path
from genever.launch._profile import Profile
from genever.launch._ranks import FAILED, FINISHED, REQUEUE, STOPPED, spawn_here
from genever.launch._supervisor import supervise
from genever.runs import write_whole

__all__ = ["LocalQueue", "run_job", "work"]

_EVERY_S = 0.3
#: Times that a job is started again whose process was killed.
_MOST_KILLED = 3


@dataclass(frozen=True)
class LocalQueue:
    """Jobs run in the order in which they came, as many at once as the profile's limit and the GPUs allow."""

    profile: Profile
    root: Path
    code: Path | None = None

    def submit(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
        """As `Cluster.submit`."""
        num_gpus = self.profile.processes * self.profile.gpus_per_process
        devices = _visible_gpus() if num_gpus else []
        if num_gpus > len(devices):
            place = self.profile.places.get("gpus_per_process", f"the profile {self.profile.name}")
            raise UserError(
                f"{place}: a job asks for {num_gpus} GPUs, and this machine has {len(devices)} "
                "(those that CUDA_VISIBLE_DEVICES names, if it is set). Ask for fewer processes, or for gpus_per_process=0."
            )
        for group in arrays(jobs, len(jobs)):
            folder = JobFolder.create(self.root, group, self.profile, self.code)
            wanted = {"folder": str(folder.path), "gpus": num_gpus, "devices": devices, "limit": self.profile.limit}
            with _queue(self.root) as queue:
                number = queue["next"] = queue.get("next", 0) + 1
                for element, job in enumerate(group):
                    queue["jobs"][f"{number}_{element}"] = {**wanted, "after": list(job.after), "phase": "queued"}
                folder.note_id(str(number))
            _wake(self.root, self.code)
            yield from ((job, folder.job(element)) for element, job in enumerate(group))

    def states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        """As `Cluster.states`."""
        with _queue(self.root) as queue:
            jobs = queue["jobs"]
        live = {job: told for job, told in jobs.items() if told["phase"] != "ended"}
        if live:
            _wake(self.root, self.code)
        return {job: _state(live[job]) for job in ids if job in live}

    def cancel(self, ids: Collection[str]) -> None:
        """As `Cluster.cancel`."""
        with _queue(self.root) as queue:
            for job, told in ((job, queue["jobs"][job]) for job in ids if job in queue["jobs"]):
                if told["phase"] == "queued":
                    told.update(phase="ended", code=STOPPED)
                elif told["phase"] == "running":
                    told["phase"] = "leaving"
                    if told["pid"] and _is_alive(self.root, job):  # Else it sees by itself that its runs are cancelled.
                        os.kill(told["pid"], signal.SIGTERM)


def run_job(folder: JobFolder, element: int) -> int:
    """What a job of a local queue does. Leaves its exit code where the queue finds it."""
    profile = folder.profile
    device = None if profile.gpus_per_process else "cpu"
    token = f"local-{folder.job(element)}-{secrets.token_hex(3)}"
    spawn = spawn_here(profile, device=device)
    code = supervise(folder.runs(element), spawn, token=token, retries=profile.retries, has=folder.has)
    write_whole(_code(folder, element), str(code))
    return code


def work(root: Path) -> int:
    """Works the queue of a root off; only one process does."""
    with open(_folder(root) / "worker.lock", "w", encoding="utf-8") as lock:
        if not _taken(lock):
            return 0
        children: dict[str, subprocess.Popen[bytes]] = {}
        while True:
            with _queue(root) as queue:
                jobs: dict[str, dict[str, Any]] = queue["jobs"]
                for job, told in list(jobs.items()):
                    if told["phase"] in ("running", "leaving") and not _is_alive(root, job):
                        _conclude(job, jobs, children.pop(job, None))
                    elif told["phase"] == "queued" and _waits_in_vain(told, jobs):
                        told.update(phase="ended", code=FAILED)
                while (job := _next(jobs)) is not None:
                    if process := _start(root, job, queue):
                        children[job] = process
                if all(told["phase"] == "ended" for told in jobs.values()):
                    lock.close()  # While nobody can queue anything.
                    return 0
            time.sleep(_EVERY_S)


def _next(jobs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The job whose turn it is, if there is room for it; nothing overtakes it."""
    running = [told for told in jobs.values() if told["phase"] in ("running", "leaving")]
    for job, told in jobs.items():
        if told["phase"] != "queued" or any(jobs[one].get("code") != FINISHED for one in told["after"]):
            continue
        alike = [other for other in running if bool(other["gpus"]) == bool(told["gpus"])]
        limit = told["limit"] or (len(alike) + 1 if told["gpus"] else 1)
        return job if len(alike) < limit and len(_free(told, running)) >= told["gpus"] else None
    return None


def _free(told: Mapping[str, Any], running: Sequence[Mapping[str, Any]]) -> list[str]:
    """The GPUs that a job may have and nobody has."""
    taken = {device for other in running for device in other.get("given", ())}
    return [device for device in told["devices"] if device not in taken]


def _start(root: Path, job: str, queue: Mapping[str, Any]) -> subprocess.Popen[bytes] | None:
    """Starts a job, and writes that down before, since the next worker must not do it again. None = it cannot be started."""
    jobs: Mapping[str, dict[str, Any]] = queue["jobs"]
    told = jobs[job]
    running = [other for other in jobs.values() if other["phase"] in ("running", "leaving")]
    told.update(phase="running", given=_free(told, running)[: told["gpus"]], pid=None)
    _write(root, queue)
    log = Path(told["folder"]) / f"{job}_0_log.out"
    try:
        process = _spawn(root, job, told, log)
    except OSError as error:
        told.update(phase="ended", code=FAILED, given=[])
        with suppress(OSError), open(log, "a", encoding="utf-8") as said:
            said.write(f"The job cannot be started: {error}. Mend that, and submit it again.\n")
        return None
    told["pid"] = process.pid
    return process


def _spawn(root: Path, job: str, told: Mapping[str, Any], log: Path) -> subprocess.Popen[bytes]:
    """A job in a session of its own, where it outlives this process. It holds a lock for as long as it lives."""
    folder, element = JobFolder(Path(told["folder"])), int(job.rpartition("_")[2])
    _code(folder, element).unlink(missing_ok=True)
    words = [folder.told["python"], "-P", "-m", "genever.launch", str(folder.path), "--element", str(element)]
    script = "\n".join([*folder.shell_lines(), f"exec {shlex.join(words)}"])
    with open(log, "ab") as said, open(_alive(root, job), "w", encoding="utf-8") as alive:
        _taken(alive)
        return subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder.told["working_folder"],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(told["given"])},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[alive.fileno()],
        )


def _conclude(job: str, jobs: dict[str, dict[str, Any]], process: subprocess.Popen[bytes] | None) -> None:
    """A job is over. One that has to be started again, or was killed, goes back to the end of the queue."""
    told = jobs[job]
    exit_code = process.wait() if process else None
    try:
        code = int(_code(JobFolder(Path(told["folder"])), int(job.rpartition("_")[2])).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # It said nothing: its set-up failed, or it was killed.
        told["num_killed"] = told.get("num_killed", 0) + 1
        failed = (exit_code or 0) > 0 or told["num_killed"] > _MOST_KILLED
        code = FAILED if failed else REQUEUE
    if code == REQUEUE and told["phase"] == "running":
        jobs[job] = {**jobs.pop(job), "phase": "queued", "given": []}
    else:
        told.update(phase="ended", code=code, given=[])


def _waits_in_vain(told: Mapping[str, Any], jobs: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(one not in jobs or jobs[one].get("code", FINISHED) != FINISHED for one in told["after"])


def _state(told: Mapping[str, Any]) -> JobState:
    if told["phase"] == "queued":
        return JobState("queued", f"waits for {', '.join(told['after'])}" if told["after"] else "waits its turn")
    return JobState(told["phase"])


def _wake(root: Path, code: Path | None) -> None:
    """Starts a process that works the queue off, unless one does."""
    folder = _folder(root)
    with open(folder / "worker.lock", "w", encoding="utf-8") as lock:
        if not _taken(lock):
            return
    with open(folder / "worker.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "genever.launch", "--queue", str(root.resolve())],
            env={**os.environ, **({"PYTHONPATH": python_path(code)} if code else {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@contextmanager
def _queue(root: Path) -> Iterator[dict[str, Any]]:
    """The queue, to be read and changed by one process at a time."""
    folder = _folder(root)
    file = folder / "queue.json"
    with open(folder / "queue.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = file.read_text(encoding="utf-8") if file.exists() else '{"jobs": {}}'
        queue = json.loads(before)
        yield queue
        if json.dumps(queue) != before:
            _write(root, queue)


def _write(root: Path, queue: Mapping[str, Any]) -> None:
    write_whole(_folder(root) / "queue.json", json.dumps(queue))


def _folder(root: Path) -> Path:
    folder = root / ".queue"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _alive(root: Path, job: str) -> Path:
    return _folder(root) / f"{job}.alive"


def _is_alive(root: Path, job: str) -> bool:
    """Whether the job's process, or this one's child that is about to become it, holds its lock."""
    with open(_alive(root, job), "w", encoding="utf-8") as lock:
        return not _taken(lock)


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _code(folder: JobFolder, element: int) -> Path:
    return folder.path / f"{element}.code"


def _visible_gpus() -> list[str]:
    """The GPUs that jobs may use: what CUDA_VISIBLE_DEVICES names, else what nvidia-smi finds."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device.strip() for device in named.split(",") if device.strip()]
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number, line in enumerate(found.splitlines()) if line.startswith("GPU ")]
