"""By which number runs are told better from worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from genever.results._frozen import frozen_values
from genever.results._gather import Table
from genever.results._names import short_results, short_value
from genever.results._row import Row

__all__ = ["Metric", "better_ends", "end_of", "in_order", "is_last", "metric_names", "pick_metric"]

#: What training itself measures: only looked at where nothing else was.
_OF_TRAINING = "validation_loss"


@dataclass(frozen=True)
class Metric:
    """A number, and which end of it is good.

    Args:
        name: such as 'fd' or 'raw/fd'; '' = nothing was measured.
        highest: whether the highest is best.
    """

    name: str
    highest: bool = False

    def of(self, row: Row) -> float | None:
        """A run's value that can be compared; None = it has none that is finite."""
        return row.value(self.name)

    @property
    def words(self) -> str:
        return f"{'highest' if self.highest else 'lowest'} {self.name}"


def in_order(rows: Iterable[Row], metric: Metric) -> list[Row]:
    """Best first; what has not finished comes after what has, and what was not measured after what was."""

    def place(row: Row) -> tuple[bool, bool, float, int]:
        value = metric.of(row)
        return not row.is_finished, value is None, (-1 if metric.highest else 1) * (value or 0.0), row.number

    return sorted(rows, key=place)


def metric_names(rows: Sequence[Row]) -> list[str]:
    """Every name that a number of these runs goes by, the short ones first."""
    scalars = dict.fromkeys(name for row in rows for name in row.scalars)
    loss = ["loss"] if any(row.loss for row in rows) else []
    return list(dict.fromkeys([*_short(rows).values(), *loss, *_short(rows), *scalars]))


def pick_metric(table: Table, rows: Sequence[Row], asked: str | None, *, highest: bool) -> Metric:
    """The number that some rows are ranked by: asked for, or of a search, or of `train.keep_best`, or the first there is.

    Args:
        asked: is passed over where these rows have no such number.
        highest: whether the highest is best, where no metric says so.
    """
    names, better = metric_names(rows), {**_searched(table), **better_ends(rows)}
    after = [name for name in _wanted(table, rows) if name in names]
    judged = [name for name in _short(rows).values() if not is_last(name, better)]
    found = asked if asked in names else (*after, *judged, *names, "")[0]
    end = end_of(found, better)
    return Metric(found, end == "higher" if end else highest and asked in (None, found))


def better_ends(rows: Iterable[Row]) -> dict[str, str | None]:
    """Which end of a number is the better one, by its name without that of the weights; None = neither is."""
    return {name: end for row in rows for name, end in row.better.items()}


def is_last(name: str, better: Mapping[str, str | None]) -> bool:
    """Whether a result says little of a run that another does not say better."""
    return _bare(name).startswith(_OF_TRAINING) or better.get(_bare(name), "lower") is None


def end_of(name: str, better: Mapping[str, str | None]) -> str | None:
    """Which end of a number is the better one; None = neither is, or nobody says."""
    return better.get(_bare(name))


def _bare(name: str) -> str:
    """A number's name without that of the weights."""
    return name.partition("/")[2] or name


def _searched(table: Table) -> dict[str, str | None]:
    """Which end of its metric a search is after, before any of its runs says so."""
    found = table.sweep.manifest.metric if table.sweep else None
    return {_bare(found[0]): "higher" if found[1] == "maximize" else "lower"} if found else {}


def _short(rows: Iterable[Row]) -> dict[str, str]:
    return short_results(row.results for row in rows)


def _wanted(table: Table, rows: Sequence[Row]) -> list[str]:
    """What is after which number: the search's first."""
    searched = table.sweep.manifest.metric if table.sweep else None
    best = _keep_best(rows)
    return [*([searched[0]] if searched else []), *([best] if best else [])]


def _keep_best(rows: Sequence[Row]) -> str | None:
    """`train.keep_best` of the first run."""
    run = next((row.run for row in rows if row.run), None)
    value = frozen_values(run).get("train.keep_best") if run else None
    return short_value(value.text) if value and value.text != "None" else None
