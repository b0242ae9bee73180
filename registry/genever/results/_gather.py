"""From a name to the runs that it stands for: a sweep's, an experiment's, or those below a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genever.errors import UserError, did_you_mean, listed
from genever.launch import look
from genever.results._frozen import frozen_values
from genever.results._row import Row, row_of
from genever.runs import RunDirectory, known_experiments, runs_below
from genever.sweeps import SweepDirectory, conditions, find_sweep, known_sweeps

__all__ = ["Table", "gather"]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Runs that are looked at together.

    Args:
        name: of the sweep or the experiment, or the folder as it was written.
        root: where runs live.
        sweep: None = the runs are of no sweep.
        rows: in the sweep's order, else by age.
        num_illegible: directories of runs that cannot be read, and are left out.
    """

    name: str
    root: Path
    sweep: SweepDirectory | None = None
    rows: tuple[Row, ...] = field(default=(), repr=False)
    num_illegible: int = 0

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order; ('',) where there is one."""
        return tuple(dict.fromkeys(row.stage for row in self.rows)) or ("",)

    @property
    def experiments(self) -> tuple[str, ...]:
        found = {row.name.rpartition("/")[0] for row in self.rows if row.name}
        of_stages = (stage.experiment for stage in self.sweep.manifest.stages) if self.sweep else sorted(found)
        return tuple(dict.fromkeys(of_stages))


def gather(name: str, root: Path) -> Table:
    """Reads every run that a name stands for, and asks their clusters once about those that have not finished.

    Args:
        name: a sweep by its name, folder or file; an experiment's name; a run; or a folder with runs in it.

    Raises:
        UserError: it stands for nothing, or a sweep's manifest cannot be read.
    """
    if sweep := find_sweep(name, root):
        return _of_sweep(sweep)
    if runs := _runs_below(name, root):
        return _of_runs(name, root, runs)
    raise UserError(_unknown(name, root))


def _of_sweep(sweep: SweepDirectory) -> Table:
    rows: list[Row] = []
    for element, condition in zip(sweep.elements, conditions(sweep), strict=True):
        run, varied = sweep.run_of(element), sweep.varied(element)
        if run is None:
            rows.append(Row(number=element.number, stage=element.stage, varied=varied, condition=condition))
        else:
            name = element.run or run.path.name
            rows.append(row_of(run, name, condition, number=element.number, stage=element.stage, varied=varied))
    return Table(name=sweep.name, root=sweep.root, sweep=sweep, rows=tuple(rows))


def _of_runs(name: str, root: Path, runs: Sequence[RunDirectory]) -> Table:
    legible = [run for run in runs if run.is_legible]
    legible.sort(key=lambda run: (run.facts.get("created", 0), str(run.path)))
    rows = [
        row_of(run, _name_of(run), condition, number=number, varied=varied)
        for number, (run, condition, varied) in enumerate(zip(legible, look(legible), _varied(legible), strict=True))
    ]
    return Table(name=name.rstrip("/"), root=root, rows=tuple(rows), num_illegible=len(runs) - len(legible))


def _runs_below(name: str, root: Path) -> list[RunDirectory]:
    if not name or "\0" in name:
        return []
    for folder in (Path(name), root / name):
        # A folder outside the root may hold anything: only a run, or the runs of one experiment, are looked for there.
        is_inside = folder.resolve().is_relative_to(root.resolve())
        if found := runs_below(folder) if is_inside else runs_below(folder, deepest=1):
            return found
    return []


def _name_of(run: RunDirectory) -> str:
    return f"{run.facts.get('experiment', run.path.parent.name)}/{run.path.name}"


def _varied(runs: Sequence[RunDirectory]) -> Iterable[dict[str, str]]:
    """The bindings in which runs that no sweep made differ. What nobody set in any of them does not count."""
    values = list(map(frozen_values, runs))
    chosen = dict.fromkeys(key for found in values for key, value in found.items() if value.is_chosen)
    keys = [key for key in chosen if len({key in found and found[key].text for found in values}) > 1]
    return [{key: found[key].text for key in keys if key in found} for found in values]


def _unknown(name: str, root: Path) -> str:
    sweeps, experiments = known_sweeps(root), known_experiments(root)
    hint = did_you_mean(name, [*sweeps, *experiments])
    if name.endswith((".yaml", ".yml")):
        hint = f" Submit it first: genever sweep {name}."
    return (
        f"there is no sweep, experiment or run {name!r} in {str(root)!r}.{hint} "
        f"Sweeps there: {listed(sweeps, 10)}; experiments with runs: {listed(experiments, 10)}."
    )
