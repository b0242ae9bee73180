"""A sweep's directory, `ROOT/sweeps/<name>/`: the file as it was submitted, and the manifest, which is its memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from genever.errors import UserError, did_you_mean
from genever.runs import RunDirectory, write_whole
from genever.sweeps._sweep import START

__all__ = ["Element", "Manifest", "StageRecord", "SweepDirectory", "find_sweep", "known_sweeps", "open_sweep"]

FOLDER = "sweeps"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Element:
    """One line of a sweep's table: bindings, and the run that carries them out.

    Args:
        number: counted from 0 over all stages.
        stage: its name; '' in a sweep that has one stage.
        varied: what tells it apart from its neighbours: gin text by key, as the file writes the key.
        bindings: all that the sweep binds, as `-b` takes them, without those that name its parents' runs.
        parents: the numbers of the elements whose runs it names, by the key that names each.
        identity: of its run. None = not frozen yet, since a parent has no run yet.
        run: '<experiment>/<id>'. None = it has none yet. Elements that compose the same run share it.
    """

    number: int
    stage: str = ""
    varied: Mapping[str, str] = field(default_factory=dict)
    bindings: tuple[str, ...] = ()
    parents: Mapping[str, int] = field(default_factory=dict)
    identity: str | None = None
    run: str | None = None

    @property
    def after(self) -> tuple[int, ...]:
        """The numbers of its parents, each once."""
        return tuple(dict.fromkeys(self.parents.values()))


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage of a lifecycle, or the whole of a plain sweep.

    Args:
        experiment: such as 'digits/pretrain'.
        file: its gin file, absolute.
        keys: what varies, in the order of the file.
        profile: where and how its runs are trained, from `Profile.to_dict`.
        runs_per_job: runs that share one allocation.
    """

    name: str
    experiment: str
    file: str
    keys: tuple[str, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    runs_per_job: int = 1


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a sweep remembers.

    Args:
        file: the sweep file's absolute path.
        metric: what a search is after, such as 'fd', and 'minimize' or 'maximize'. None = no search.
        starts: which run each name of one was found to mean, '<experiment>/<id>' by what the experiment says.
        dropped: runs that an earlier version of the file asked for.
    """

    name: str
    file: str
    stages: tuple[StageRecord, ...]
    elements: tuple[Element, ...]
    on_failure: str = "continue"
    metric: tuple[str, str] | None = None
    starts: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    created: float = 0.0

    def of_stage(self, name: str) -> list[Element]:
        """The elements of a stage, in order."""
        return [element for element in self.elements if element.stage == name]


@dataclass(frozen=True)
class SweepDirectory:
    """A sweep on disk. Reading takes the manifest and, where asked for, each run's own files; the cluster is not asked.

    Args:
        path: `ROOT/sweeps/<name>`.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def root(self) -> Path:
        """Where the runs are."""
        return self.path.parent.parent

    @property
    def file(self) -> Path:
        """The sweep file as it was submitted."""
        return self.path / "sweep.yaml"

    @property
    def runs_file(self) -> Path:
        """The directories of its runs, one a line: those that a job cancels where the sweep is to stop."""
        return self.path / "runs.txt"

    @property
    def cancelled(self) -> Path:
        """A file that is there once somebody cancelled the search: whoever drives it stops."""
        return self.path / ".cancelled"

    @property
    def manifest_file(self) -> Path:
        return self.path / "manifest.json"

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest as it was when it was first asked for.

        Raises:
            UserError: it cannot be read.
        """
        try:
            return _parsed(json.loads(self.manifest_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.manifest_file} cannot be read as a sweep's manifest: {error}. "
                "Move the folder away and submit the sweep again: runs that exist are found by their identity."
            ) from error

    @property
    def elements(self) -> tuple[Element, ...]:
        return self.manifest.elements

    def run_of(self, element: Element) -> RunDirectory | None:
        """The element's run; None where it has none, or where somebody deleted it."""
        run = RunDirectory(self.root / element.run) if element.run else None
        return run if run and run.is_legible else None

    def runs(self) -> Iterator[tuple[Element, RunDirectory]]:
        """The elements that have a run, each with it, in order."""
        yield from ((element, run) for element in self.elements if (run := self.run_of(element)))

    def lineage(self, element: Element) -> tuple[Element, ...]:
        """The elements that this one descends from, the first stage's first, itself last."""
        found, waiting = {element.number}, [element]
        while waiting:
            new = set(waiting.pop().after) - found
            found |= new
            waiting += [self.elements[number] for number in new]
        return tuple(self.elements[number] for number in sorted(found))

    def varied(self, element: Element) -> dict[str, str]:
        """What tells an element apart from all others: its own values, and under 'stage:key' those of its ancestors."""
        found = {f"{one.stage}:{key}": text for one in self.lineage(element)[:-1] for key, text in one.varied.items()}
        return found | dict(element.varied)

    def write(self, manifest: Manifest) -> SweepDirectory:
        """Writes the manifest whole or not at all. Returns the directory as it is now."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.manifest_file, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1) + "\n")
        return SweepDirectory(self.path)


def open_sweep(name: str | Path, root: Path | str = "runs") -> SweepDirectory:
    """A sweep by its name in a root, by its directory, or by its sweep file.

    Raises:
        UserError: there is none.
    """
    if found := find_sweep(name, root):
        return found
    known = known_sweeps(Path(root))
    raise UserError(
        f"there is no sweep {str(name)!r} in {str(root)!r}.{did_you_mean(str(name), known)} "
        f"Sweeps there: {', '.join(known) or 'none'}."
    )


def find_sweep(name: str | Path, root: Path | str = "runs") -> SweepDirectory | None:
    """As `open_sweep`; None where there is none."""
    root, written = Path(root).absolute(), str(name)
    if not written or "\0" in written:
        return None
    for folder in (Path(written).absolute(), root / FOLDER / written):
        if (folder / "manifest.json").is_file():
            return SweepDirectory(folder)
    if Path(written).suffix not in (".yaml", ".yml"):
        return None
    sweeps = [SweepDirectory(root / FOLDER / one) for one in known_sweeps(root)]
    return next((sweep for sweep in sweeps if sweep.manifest.file == str(Path(written).absolute())), None)


def known_sweeps(root: Path) -> list[str]:
    """Names of the sweeps in a root."""
    return sorted(file.parent.name for file in (root / FOLDER).glob("*/manifest.json"))


def _parsed(data: dict[str, Any]) -> Manifest:
    if data["format"] not in (1, FORMAT):
        raise ValueError(f"its format is {data['format']!r}, and this Genever knows {FORMAT}")
    for one in (*data["stages"], *data["elements"]) if data["format"] == 1 else ():
        # An element had one parent, which it started from.
        start, _ = one.pop("start", None), one.pop("after", None)
        one |= {} if start is None else {"parents": {START: start}}
    known = {one.name for one in fields(Manifest)}
    facts = {key: value for key, value in data.items() if key in known}
    facts["stages"] = tuple(StageRecord(**{**one, "keys": tuple(one["keys"])}) for one in data["stages"])
    facts["elements"] = tuple(Element(**{**one, "bindings": tuple(one["bindings"])}) for one in data["elements"])
    facts["dropped"] = tuple(data["dropped"])
    facts["metric"] = tuple(data["metric"]) if data["metric"] else None
    return Manifest(**facts)
