"""The processes of a run while they live: started here, or as a step of a SLURM job."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from genever.launch._profile import Profile

__all__ = ["FAILED", "FINISHED", "REQUEUE", "STOPPED", "WRONG", "Death", "Ranks", "Spawn", "spawn_here", "spawn_step"]

#: Exit codes of a run's process. Done; the work failed; the user's input is wrong.
FINISHED, FAILED, WRONG = 0, 1, 2
#: Everything is saved, and it was asked to be started again; or to stop.
REQUEUE, STOPPED = 75, 76
#: Seconds in which the others may say what they have to say once a rank has failed, or leave once a rank has left.
_FAILED_S, _LEFT_S = 3.0, 60.0
#: A launcher further up may have left these; SLURM's own names count in its steps.
_TORCH_NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True)
class Death:
    """The first rank that ended otherwise than well.

    Args:
        code: its exit code; 128 + n = killed by signal n.
        rank: None = not known.
    """

    code: int
    rank: int | None = None

    @property
    def signal(self) -> signal.Signals | None:
        try:
            return signal.Signals(self.code - 128) if self.code > 128 else None
        except ValueError:
            return None


class Ranks(Protocol):
    """All processes of one start of a run."""

    def ended(self) -> Death | None:
        """None while they live. The first rank that failed, with the others stopped; code 0 = all ended well."""
        ...

    def send(self, number: int) -> None:
        """Hands a signal on, where they do not get it anyway."""
        ...

    def stop(self) -> None:
        """Has them save and stop, and nobody else. More than once does no harm."""
        ...

    def kill(self) -> None:
        """Ends them at once."""
        ...


class Spawn(Protocol):
    """Starts the ranks of a run; `attempt` is by what they find each other."""

    def __call__(self, run: Path, attempt: str) -> Ranks: ...


@dataclass
class _Here:
    """Subprocesses of this one, in the order of their ranks."""

    processes: Sequence[subprocess.Popen[bytes]]
    death: Death | None = None
    deadline: float = 0.0

    def ended(self) -> Death | None:
        codes = [process.poll() for process in self.processes]
        if self.death is None:
            failed = [Death(code if code > 0 else 128 - code, rank) for rank, code in enumerate(codes) if code]
            if failed:
                # One that was killed did not fail because of another.
                self.death = max(failed, key=lambda death: death.code)
                self.deadline = time.monotonic() + (_LEFT_S if self.death.code in (REQUEUE, STOPPED) else _FAILED_S)
        elif time.monotonic() > self.deadline:
            self.kill()
        if any(code is None for code in codes):
            return None
        return self.death or Death(0)

    def send(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def stop(self) -> None:
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        self.send(signal.SIGKILL)


def spawn_here(profile: Profile, *, device: str | None = None, quiet: bool = False) -> Spawn:
    """Ranks as subprocesses.

    Args:
        device: None = a GPU where there is one.
        quiet: whether only rank 0 speaks here; what the others say goes to log.rank<N>.txt in the run's directory.
    """

    def spawn(run: Path, attempt: str) -> Ranks:
        command = [*_command(run), *(["--device", device] if device else [])]
        shared = {"WORLD_SIZE": str(profile.processes), "GENEVER_ATTEMPT": attempt, "GENEVER_NODES": "1"}
        processes: list[subprocess.Popen[bytes]] = []
        for rank in range(profile.processes):
            env = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            said = open(run / f"log.rank{rank}.txt", "ab") if quiet and rank else nullcontext()  # noqa: SIM115
            # A session of their own: what a terminal sends comes to the supervisor, which hands it on.
            with said as file:
                processes.append(
                    subprocess.Popen(
                        command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
                    )
                )
        return _Here(processes)

    return spawn


@dataclass
class _Step:
    """One srun, which starts a rank for each task and stops all of them when one fails. SLURM signals its steps itself."""

    srun: subprocess.Popen[str]
    name: str
    first: Death | None = None
    reader: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def ended(self) -> Death | None:
        code = self.srun.poll()
        if code is None:
            return None
        self.reader.join(timeout=10)
        if code == 0:
            return Death(0)
        return self.first or Death(code if code > 0 else 128 - code)

    def send(self, number: int) -> None:
        pass

    def stop(self) -> None:
        steps = ["squeue", "--steps", "--noheader", f"--jobs={os.environ['SLURM_JOB_ID']}", "--format=%i %j"]
        with suppress(OSError, subprocess.CalledProcessError):  # Asked again, if the controller does not answer.
            lines = subprocess.run(steps, capture_output=True, text=True, check=True).stdout.split("\n")
            ids = [step for step, _, name in (line.partition(" ") for line in lines) if name == self.name]
            subprocess.run(["scancel", "--signal=TERM", *ids], capture_output=True, check=True)

    def kill(self) -> None:
        self.srun.kill()  # SLURM ends the tasks with the job, if not before.

    def _read(self) -> None:
        """Passes on what the ranks say, and remembers the first of which srun says that it failed."""
        assert self.srun.stderr is not None
        for line in self.srun.stderr:
            with suppress(OSError):  # Where a full disk takes no more, the ranks must not wait for somebody who listens.
                sys.stderr.write(line)
                sys.stderr.flush()
            self.first = self.first or _first_death(line)


def _first_death(line: str) -> Death | None:
    """srun names signals in words: 'srun: error: n1: task 1: Killed'."""
    found = re.match(r"srun: error: \S+: tasks? (\d+)[-,\d]*: (.+?)(?: \(core dumped\))?$", line.strip())
    if not found:
        return None
    rank, what = int(found[1]), found[2]
    if exited := re.match(r"Exited with exit code (\d+)", what):
        return Death(int(exited[1]), rank)
    named = {signal.strsignal(one): 128 + one for one in signal.valid_signals()}
    return Death(named.get(what, 1), rank)


def spawn_step(profile: Profile, *, device: str | None = None) -> Spawn:
    """Ranks as a step of the SLURM job that this process is in."""
    tasks = [f"--nodes={profile.nodes}", f"--ntasks={profile.num_processes}", f"--ntasks-per-node={profile.processes}"]
    srun = ["srun", *tasks, f"--cpus-per-task={profile.cpus_per_process}", "--overlap", "--kill-on-bad-exit=1"]

    def spawn(run: Path, attempt: str) -> Ranks:
        env = {name: value for name, value in os.environ.items() if name not in _TORCH_NAMES}
        env |= {"GENEVER_ATTEMPT": attempt, "GENEVER_NODES": str(profile.nodes)}
        command = [*srun, f"--job-name={attempt}", *_command(run), *(["--device", device] if device else [])]
        return _Step(
            subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
            ),
            name=attempt,
        )

    return spawn


def _command(run: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "genever.execution", str(run)]
