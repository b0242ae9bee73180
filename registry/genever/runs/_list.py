"""The runs that a name stands for."""

from __future__ import annotations

from pathlib import Path

from genever.errors import UserError, did_you_mean, listed
from genever.runs._directory import RunDirectory, known_experiments, runs_below

__all__ = ["list_runs"]


def list_runs(root: Path, name: str | None = None) -> list[RunDirectory]:
    """Every run of a root, or of one experiment, or the one run that is meant by its path or '<experiment>/<id>'; by age.

    Raises:
        UserError: there is no run of that name.
    """
    if name is None:
        runs = runs_below(root)
    elif "\0" in name or not name:
        runs = []
    else:
        runs = runs_below(Path(name), deepest=0) or runs_below(root / name, deepest=1)
    legible = sorted((run.facts.get("created", 0), str(run.path), run) for run in runs if run.is_legible)
    if name is not None and not legible:
        known = known_experiments(root)
        raise UserError(
            f"there is no run at {name!r}, and none of that name in {str(root)!r}.{did_you_mean(name, known)} "
            f"Experiments with runs there: {listed(known)}."
        )
    return [run for _, _, run in legible]
