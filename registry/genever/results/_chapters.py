"""The stages of a sweep, each ranked by a number that its own runs have."""

from __future__ import annotations

from dataclasses import dataclass

from genever.errors import UserError, did_you_mean, listed
from genever.results._gather import Table
from genever.results._metric import Metric, metric_names, pick_metric
from genever.results._order import sort_names, sorted_rows
from genever.results._row import Row

__all__ = ["Chapter", "chapters_of"]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """The runs of one stage, in the order in which they are shown.

    Args:
        stage: '' where there is one.
        metric: what ranks them.
        order: theirs, in words.
    """

    stage: str
    rows: tuple[Row, ...]
    metric: Metric
    order: str


def chapters_of(
    table: Table, *, metric: str | None = None, highest: bool = False, by: str | None = None, descending: bool = False
) -> list[Chapter]:
    """One for each stage. A stage that does not have the asked number, or column, is ranked as if none had been asked for.

    Args:
        metric: a number's name, such as 'fd', 'raw/fd' or 'loss'. None = what the sweep or the experiment is after.
        highest: whether the highest is best, where no metric says so.
        by: the column to sort by. None = best first.
        descending: turns the order around.

    Raises:
        UserError: no stage has the number, or the column.
    """
    of_stages = {stage: [row for row in table.rows if row.stage == stage] for stage in table.stages}
    if metric is not None:
        _check(metric, [name for rows in of_stages.values() for name in metric_names(rows)], "number", table)
    picked = {stage: pick_metric(table, rows, metric, highest=highest) for stage, rows in of_stages.items()}
    if by is not None:
        names = [name for stage, rows in of_stages.items() for name in sort_names(rows, picked[stage])]
        _check(by, names, "column", table)
    chapters = []
    for stage, rows in of_stages.items():
        own = by if by is not None and by in sort_names(rows, picked[stage]) else None
        order = f"sorted by {own}" if own else f"best first: {picked[stage].words}" if picked[stage].name else "by number"
        ordered = sorted_rows(rows, picked[stage], own, descending=descending)
        turned = ", turned around" * descending
        chapters.append(Chapter(stage=stage, rows=tuple(ordered), metric=picked[stage], order=f"{order}{turned}"))
    return chapters


def _check(name: str, known: list[str], what: str, table: Table) -> None:
    if name not in known:
        names = [one for one in dict.fromkeys(known) if "_t0." not in one]
        raise UserError(
            f"no run of {table.name} has a {what} {name!r}.{did_you_mean(name, names)} There are: {listed(names, 20)}."
        )
