"""What the names of runs mean, such as that of the run which an experiment starts from."""

from __future__ import annotations

import json
import os
from pathlib import Path

from genever.errors import listed, nearest
from genever.language._config import NamedRun
from genever.runs import known_experiments

__all__ = ["FROZEN", "experiment_name", "find_named", "known_names"]

FROZEN = "resolved.gin"


def experiments_folder(path: Path) -> Path | None:
    """The nearest folder named 'experiments' above a file."""
    return next((folder for folder in _plain(path).parents if folder.name == "experiments"), None)


def experiment_name(path: Path) -> str:
    """What an experiment is called: its place below the experiments folder, without the suffix."""
    return _plain(path).relative_to(_folder_of(path)).with_suffix("").as_posix()


def _run_of(written: str, runs_root: Path) -> Path | None:
    """The directory of a run: by its path, by '<experiment>/<id>', or the newest finished one of an experiment's name."""
    for folder in (Path(written), runs_root / written):
        if (folder / FROZEN).is_file():
            return folder
    finished = [(created, run) for run in (runs_root / written).glob("*/") if (created := _finished_since(run)) is not None]
    return max(finished, default=(0, None))[1]


def _finished_since(run: Path) -> float | None:
    """When a finished run was created; None where it has not finished, or does not say so legibly."""
    try:
        facts = json.loads((run / "run.json").read_text("utf-8"))
        finished = facts["status"] == "finished" and (run / FROZEN).is_file()
        return float(facts.get("created", 0)) if finished else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find_named(written: str, *, experiment: Path, runs_root: Path) -> NamedRun | None:
    """What a name means to an experiment: a run, else the gin file of that name."""
    if not written or "\0" in written:
        return None
    try:
        if run := _run_of(written, runs_root):
            return NamedRun(written, run=run, pinned=_pinned(run, runs_root))
        file = _folder_of(experiment) / f"{written}.gin"
        return NamedRun(written, experiment=file) if file.is_file() else None
    except (OSError, ValueError, NotImplementedError):
        return None


def _folder_of(experiment: Path) -> Path:
    return experiments_folder(experiment) or _plain(experiment).parent.parent


def _plain(path: Path) -> Path:
    """The same path from the root on, without '..'."""
    return Path(os.path.abspath(path))


def _pinned(run: Path, runs_root: Path) -> str:
    """Its name below the root; elsewhere its path from the file system's root, which means the same in every folder."""
    try:
        return _plain(run).relative_to(_plain(runs_root)).as_posix()
    except ValueError:
        return _plain(run).as_posix()


def known_names(written: str, *, experiment: Path, runs_root: Path) -> str:
    """A sentence on the names that would have been understood."""
    folder, own = _folder_of(experiment), experiment_name(experiment)
    found = [file for depth in ("*.gin", "*/*.gin") for file in folder.glob(depth) if _is_experiment(file)]
    files = {file.relative_to(folder).with_suffix("").as_posix() for file in found}
    names = tuple(sorted(files.union(known_experiments(runs_root)) - {own}))
    if close := nearest(written, names):
        return f" Did you mean {' or '.join(map(repr, close))}?"
    return f" Known are: {listed(names, 10)}."


def _is_experiment(file: Path) -> bool:
    return file.name != "base.gin" and not file.name.startswith("_")
