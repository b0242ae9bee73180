"""A sweep's directory, `ROOT/sweeps/<name>/`: the file as it was submitted, and the manifest, which is its memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genever.errors import UserError
from genever.language._problems import did_you_mean
from genever.runs import RunDirectory, write_whole

__all__ = ["Element", "Manifest", "StageRecord", "SweepDirectory", "known_sweeps", "open_sweep"]

FOLDER = "sweeps"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Element:
    """One line of a sweep's table: bindings, and the run that carries them out.

    Args:
        number: counted from 0 over all stages.
        stage: its name; '' in a sweep that has one stage.
        varied: what tells it apart from its neighbours: gin text by key, as the file writes the key.
        bindings: all that the sweep binds, as `-b` takes them, without `train.start`.
        start: the number of the element whose run this one starts from. None = as the experiment says.
        identity: of its run. None = not frozen yet, since its start has no run yet.
        run: '<experiment>/<id>'. None = it has none yet. Elements that compose the same run share it.
        note: why it has no run, in a sentence; '' = nothing is wrong.
        value: what a search was told of it. None = nothing yet, or it failed.
    """

    number: int
    stage: str = ""
    varied: Mapping[str, str] = field(default_factory=dict)
    bindings: tuple[str, ...] = ()
    start: int | None = None
    identity: str | None = None
    run: str | None = None
    note: str = ""
    value: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """One stage of a lifecycle, or the whole of a plain sweep.

    Args:
        experiment: such as 'digits/pretrain'.
        after: the stage whose runs its own start from. None = as the experiment says.
        keys: what varies, in the order of the file.
    """

    name: str
    experiment: str
    after: str | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a sweep remembers.

    Args:
        file: the sweep file's absolute path.
        digest: of the file's content.
        metric: what a search is after, such as 'fd', and 'minimize' or 'maximize'. None = no search.
        dropped: runs that an earlier version of the file asked for.
    """

    name: str
    file: str
    digest: str
    stages: tuple[StageRecord, ...]
    elements: tuple[Element, ...]
    on_failure: str = "continue"
    metric: tuple[str, str] | None = None
    dropped: tuple[str, ...] = ()
    created: float = 0.0

    def replacing(self, elements: Sequence[Element]) -> Manifest:
        """The same with some elements changed, by their numbers."""
        changed = {element.number: element for element in elements}
        return replace(self, elements=tuple(changed.get(element.number, element) for element in self.elements))


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
        chain = [element]
        while chain[0].start is not None:
            chain.insert(0, self.elements[chain[0].start])
        return tuple(chain)

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
    root, written = Path(root), str(name)
    for folder in (Path(written), root / FOLDER / written):
        if written and "\0" not in written and (folder / "manifest.json").is_file():
            return SweepDirectory(folder.absolute())
    known = known_sweeps(root)
    if Path(written).suffix in (".yaml", ".yml"):
        real = str(Path(written).absolute())
        for sweep in map(SweepDirectory, (root.absolute() / FOLDER / one for one in known)):
            if sweep.manifest.file == real:
                return sweep
    raise UserError(
        f"There is no sweep {written!r} in {str(root)!r}.{did_you_mean(written, known)} "
        f"Sweeps there: {', '.join(known) or 'none'}."
    )


def known_sweeps(root: Path) -> list[str]:
    """Names of the sweeps in a root."""
    return sorted(file.parent.name for file in (root / FOLDER).glob("*/manifest.json"))


def _parsed(data: dict[str, Any]) -> Manifest:
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']!r}, and this Genever knows {FORMAT}")
    known = {one.name for one in fields(Manifest)}
    facts = {key: value for key, value in data.items() if key in known}
    facts["stages"] = tuple(StageRecord(**{**one, "keys": tuple(one["keys"])}) for one in data["stages"])
    facts["elements"] = tuple(Element(**{**one, "bindings": tuple(one["bindings"])}) for one in data["elements"])
    facts["dropped"] = tuple(data["dropped"])
    facts["metric"] = tuple(data["metric"]) if data["metric"] else None
    return Manifest(**facts)
