"""`train.start`: the run that an experiment starts from, and what it takes over from there."""

from __future__ import annotations

import json
from pathlib import Path

from genever.language._config import Start
from genever.language._problems import listed, nearest

__all__ = ["experiment_name", "experiments_folder", "find_run", "find_start", "known_starts"]

FROZEN = "resolved.gin"


def experiments_folder(path: Path) -> Path | None:
    """The nearest folder named 'experiments' above a file."""
    return next((folder for folder in path.absolute().parents if folder.name == "experiments"), None)


def experiment_name(path: Path) -> str:
    """What an experiment is called: its place below the experiments folder, without the suffix."""
    path = path.absolute()
    folder = experiments_folder(path) or path.parent.parent
    return path.relative_to(folder).with_suffix("").as_posix()


def find_run(start: str, runs_root: Path | str = "runs") -> Path | None:
    """The directory of a run: by its path, by '<experiment>/<id>', or the newest finished one of an experiment's name."""
    try:
        for folder in (Path(start), Path(runs_root, start)):
            if start and (folder / FROZEN).is_file():
                return folder
        folder = Path(runs_root, start)
        finished = [run for run in folder.iterdir() if _has_finished(run)] if start and folder.is_dir() else []
    except (OSError, ValueError):
        return None
    return max(finished, key=lambda run: run.name, default=None)


def _has_finished(run: Path) -> bool:
    try:
        status = json.loads((run / "run.json").read_text("utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return status == "finished" and (run / FROZEN).is_file()


def find_start(written: str, *, experiment: Path, runs_root: Path | str) -> Start | None:
    """What a start means to an experiment: a run, else the gin file of that name."""
    if run := find_run(written, runs_root):
        return Start(written, run=run, pinned=_pinned(run, Path(runs_root)))
    folder = experiments_folder(experiment) or experiment.absolute().parent.parent
    try:
        file = folder / f"{written}.gin"
        return Start(written, experiment=file) if written and file.is_file() else None
    except (OSError, ValueError):
        return None


def _pinned(run: Path, runs_root: Path) -> str:
    try:
        return run.absolute().relative_to(runs_root.absolute()).as_posix()
    except ValueError:
        return run.as_posix()


def known_starts(written: str, *, experiment: Path, runs_root: Path | str) -> str:
    """A sentence on the names that would have been understood."""
    folder = experiments_folder(experiment) or experiment.absolute().parent.parent
    own = experiment_name(experiment)
    files = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.glob("*/*.gin") if _is_experiment(file)}
    runs = {run.parent.parent.relative_to(runs_root).as_posix() for run in Path(runs_root).glob("*/*/*/run.json")}
    names = tuple(sorted((files | runs) - {own}))
    if close := nearest(written, names):
        return f" Did you mean {' or '.join(map(repr, close))}?"
    return f" Known are: {listed(names, 10)}."


def _is_experiment(file: Path) -> bool:
    return file.name != "base.gin" and not file.name.startswith("_")
