"""What differs between runs: in what they were composed of, in what they ran on, and in what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genever.errors import UserError, did_you_mean, listed
from genever.launch import look
from genever.results._first_step import Losses, compare_losses
from genever.results._frozen import Value, frozen_values
from genever.results._row import Row, row_of
from genever.runs import RunDirectory, find_run, known_experiments

__all__ = ["Comparison", "Difference", "compare"]

#: Of run.json: where and with what a run was trained.
_ENVIRONMENT = ("python", "device", "processes", "host", "parameters")


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in all runs.

    Args:
        values: in the order of the runs. None = it is not there.
    """

    key: str
    values: tuple[Value | None, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs or more, side by side.

    Args:
        composition: values that differ. parts: what each run is composed of. num_values: of all runs together.
        environment: facts that differ. shared: facts that do not, by name.
        losses: for each run but the first, where its losses leave those of the first.
    """

    rows: tuple[Row, ...]
    composition: tuple[Difference, ...]
    parts: tuple[frozenset[str], ...]
    num_values: int
    environment: tuple[Difference, ...]
    shared: Mapping[str, str]
    losses: tuple[Losses, ...]

    @property
    def is_one(self) -> bool:
        """Whether all are the same run: everything that changes the result is equal."""
        identities = {row.facts.get("identity") for row in self.rows}
        return len(identities) == 1 and None not in identities


def compare(names: Sequence[str], root: Path) -> Comparison:
    """Compares runs with the first of them.

    Args:
        names: each a run's directory, '<experiment>/<id>', or an experiment's name for its newest finished run.

    Raises:
        UserError: a name means no run, or two mean the same directory.
    """
    runs = [_found(name, root) for name in names]
    for place, run in enumerate(runs):
        if (other := [one.path.resolve() for one in runs].index(run.path.resolve())) < place:
            raise UserError(f"{names[other]!r} and {names[place]!r} are one directory, {str(run.path)!r}. Name two runs.")
    frozen = [frozen_values(run) for run in runs]
    facts = [_environment(run.facts) for run in runs]
    environment = _differences(facts)
    differing = {one.key for one in environment}
    return Comparison(
        rows=tuple(
            row_of(run, _name(run, root), condition, number=number, varied={})
            for number, (run, condition) in enumerate(zip(runs, look(runs), strict=True), 1)
        ),
        composition=_differences(frozen),
        parts=tuple(frozenset(key.rpartition(".")[0] for key in values) for values in frozen),
        num_values=len({key for values in frozen for key in values}),
        environment=environment,
        shared={key: value.text for key, value in facts[0].items() if key not in differing},
        losses=tuple(
            compare_losses(runs[0], run, frozen[0], values) for run, values in zip(runs[1:], frozen[1:], strict=True)
        ),
    )


def _differences(found: Sequence[Mapping[str, Value]]) -> tuple[Difference, ...]:
    """Keys whose texts differ, in the order of the first run that has them."""
    keys = dict.fromkeys(key for values in found for key in values)
    rows = ((key, tuple(values.get(key) for values in found)) for key in keys)
    return tuple(Difference(key, values) for key, values in rows if len({one and one.text for one in values}) > 1)


def _environment(facts: Mapping[str, Any]) -> dict[str, Value]:
    git = facts.get("git") or {}
    named: list[tuple[str, Any]] = [("commit", git.get("commit")), ("changed files", git.get("dirty"))]
    named += [(key, facts.get(key)) for key in _ENVIRONMENT]
    named += [*_versions(facts.get("versions")), *(_versions(facts.get("plugins")))]
    return {name: Value(_word(value), "") for name, value in named if value is not None}


def _versions(found: object) -> Iterable[tuple[str, Any]]:
    return sorted(found.items()) if isinstance(found, dict) else []


def _word(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _found(name: str, root: Path) -> RunDirectory:
    run = find_run(name, root)
    if run is None:
        known = known_experiments(root)
        raise UserError(
            f"there is no run at {name!r}, and no finished run of that name in {str(root)!r}.{did_you_mean(name, known)} "
            f"Experiments with runs there: {listed(known, 10)}."
        )
    if not run.is_legible:
        raise UserError(f"{run.path} cannot be read: its run.json is missing or broken.")
    return run


def _name(run: RunDirectory, root: Path) -> str:
    inside = run.path.absolute().is_relative_to(root.absolute())
    return run.path.absolute().relative_to(root.absolute()).as_posix() if inside else str(run.path)
