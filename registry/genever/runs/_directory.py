"""A run's directory: the only state a run has. Everything here is written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import platform
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RunDirectory", "find_run", "git_state", "known_experiments", "runs_below", "write_whole"]

_STEP = "step_"
#: Folders from a root down to a run: what an experiment's name may have, and the run's own.
_DEEPEST = 6


def write_whole(file: Path, text: str) -> None:
    """Writes a text file so that a reader sees the old one or the new one, also after a crash."""
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(aside, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(aside, file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class RunDirectory:
    """`runs/<experiment>/<id>/`."""

    path: Path

    @classmethod
    def create(
        cls, root: Path, experiment: str, identity: str, facts: Mapping[str, Any], files: Mapping[str, str] | None = None
    ) -> RunDirectory:
        """Makes a new run's directory, all of it at once; its id is the time and the composition's identity.

        Args:
            files: what else it holds from the beginning, by name.
        """
        aside = cls(root / ".making" / secrets.token_hex(8))
        aside.checkpoints.mkdir(parents=True)
        aside.samples.mkdir()
        for name, text in (files or {}).items():
            write_whole(aside.path / name, text)
        aside.write_facts({**facts, "status": "created", "created": time.time(), "host": platform.node()})
        (root / experiment).mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        directory = root / experiment / f"{stamp}-{identity[:8]}"
        while True:
            try:
                aside.path.rename(directory)
                return cls(directory)
            except OSError:
                if not directory.exists():
                    raise
                directory = directory.with_name(f"{stamp}-{identity[:8]}-{secrets.token_hex(2)}")

    @property
    def resolved(self) -> Path:
        return self.path / "resolved.gin"

    @property
    def origins(self) -> Path:
        """Where each value of `resolved` came from."""
        return self.path / "resolved.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def heartbeat(self) -> Path:
        """Says every few seconds, while the run is trained, when, where and at which step."""
        return self.path / "heartbeat.json"

    @property
    def owner(self) -> str:
        """The attempt that trains the run, or wants to: whoever trains it for another one leaves."""
        try:
            return (self.path / "owner").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def claim(self, attempt: str) -> None:
        """Makes an attempt the owner."""
        write_whole(self.path / "owner", attempt + "\n")

    def note_failure(self, *, attempt: str, **facts: Any) -> None:
        """Writes down why an attempt failed, unless another of its processes did so before."""
        if (self.failure or {}).get("attempt") != attempt:
            self.forget_failure()
        try:
            with open(self.path / "failure.json", "x", encoding="utf-8") as handle:
                json.dump({"attempt": attempt, **facts}, handle)
        except FileExistsError:
            return

    @property
    def failure(self) -> dict[str, Any] | None:
        """What the first process to fail wrote down; None where none did since `forget_failure`."""
        try:
            return json.loads((self.path / "failure.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def forget_failure(self) -> None:
        (self.path / "failure.json").unlink(missing_ok=True)

    @property
    def facts(self) -> dict[str, Any]:
        """run.json: status, lineage, versions, commit, seed, host, results."""
        return json.loads((self.path / "run.json").read_text(encoding="utf-8"))

    @property
    def is_legible(self) -> bool:
        """Whether this is a run's directory whose facts can be read."""
        try:
            return isinstance(self.facts["status"], str) and self.resolved.is_file()
        except (OSError, ValueError, KeyError, TypeError):
            return False

    @property
    def finished_since(self) -> float | None:
        """When a finished run was created; None where it has not finished."""
        finished = self.is_legible and self.facts["status"] == "finished"
        return float(self.facts.get("created", 0)) if finished else None

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        write_whole(self.path / "run.json", json.dumps(facts, indent=2, sort_keys=True) + "\n")

    def update_facts(self, **facts: Any) -> None:
        self.write_facts({**self.facts, **facts})

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"{_STEP}{step:08d}"

    def saved_steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        if not self.checkpoints.is_dir():
            return []
        names = (entry.name for entry in self.checkpoints.glob(f"{_STEP}*/"))
        return sorted(int(step) for name in names if (step := name.removeprefix(_STEP)).isdecimal())

    def append_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a line to metrics.jsonl; what is not finite becomes null, which JSON can say."""
        with open(self.metrics, "a", encoding="utf-8") as handle:
            legible = {name: value if math.isfinite(value) else None for name, value in values.items()}
            handle.write(json.dumps({"step": step, **legible}) + "\n")

    def read_metrics(self) -> Iterator[dict[str, float]]:
        """Every complete line; the last may have been cut off by a kill."""
        if not self.metrics.exists():
            return
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    def drop_metrics_after(self, step: int) -> None:
        """Forgets what a run wrote after the checkpoint that it goes on from: every scalar stands once."""
        kept = [line for line in self.read_metrics() if line["step"] <= step]
        write_whole(self.metrics, "".join(json.dumps(line) + "\n" for line in kept))


def find_run(name: str, root: Path) -> RunDirectory | None:
    """A run by its path, by '<experiment>/<id>', or the newest finished one of an experiment's name."""
    if not name or "\0" in name:
        return None
    try:
        for folder in (Path(name), root / name):
            if (folder / "resolved.gin").is_file():
                return RunDirectory(folder)
        runs = map(RunDirectory, (root / name).glob("*/"))
        finished = [(created, run.path) for run in runs if (created := run.finished_since) is not None]
    except (OSError, ValueError, NotImplementedError):
        return None
    return RunDirectory(max(finished)[1]) if finished else None


def runs_below(folder: Path, *, deepest: int = _DEEPEST) -> list[RunDirectory]:
    """Every run in a folder, sorted by path; the folder itself where it is one. An experiment's name may be of any depth.

    What begins with '.' is no name of any, but where a run is being made, or was when somebody pulled the plug.

    Args:
        deepest: folders down to a run.
    """
    if os.path.isfile(folder / "run.json"):  # False also where a folder may not be read.
        return [RunDirectory(folder)]
    inside = sorted(folder.glob("[!.]*/")) if deepest else []
    return [run for one in inside for run in runs_below(one, deepest=deepest - 1)]


def known_experiments(root: Path) -> list[str]:
    """Names of the experiments that have runs."""
    folders = {run.path.parent for run in runs_below(root) if run.path != root}
    return sorted(folder.relative_to(root).as_posix() for folder in folders - {root})


def git_state(folder: Path) -> dict[str, Any]:
    """The commit of a checkout and whether it was changed; empty outside one."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout

    try:
        return {"commit": git("rev-parse", "HEAD").strip(), "dirty": bool(git("status", "--porcelain").strip())}
    except (OSError, subprocess.CalledProcessError):
        return {}
