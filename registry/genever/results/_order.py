"""Runs sorted by a column of their table."""

from __future__ import annotations

from collections.abc import Sequence

from genever.results._metric import Metric, in_order, metric_names
from genever.results._row import Row
from genever.results._sheet import column_names

__all__ = ["sort_names", "sorted_rows"]

_OWN = ("#", "is", "step", "run")
_ABSENT = (2, 0.0, "")


def sort_names(rows: Sequence[Row], metric: Metric) -> list[str]:
    """What these rows can be sorted by: the titles of columns, and the full names of what stands in them."""
    names = column_names(rows, metric)
    return list(dict.fromkeys([*_OWN, *names.values(), *names, *metric_names(rows)]))


def sorted_rows(rows: Sequence[Row], metric: Metric, by: str | None = None, *, descending: bool = False) -> list[Row]:
    """Best first, or by a column; rows that have nothing in it come last.

    Args:
        by: one of `sort_names`. None = best first.
    """
    best_first = in_order(rows, metric)
    if by is None:
        return best_first[::-1] if descending else best_first
    places = list(map(_place, _column(best_first, metric, by)))
    order = sorted(range(len(places)), key=places.__getitem__, reverse=descending)
    order.sort(key=lambda n: places[n] == _ABSENT)
    return [best_first[n] for n in order]


def _column(rows: Sequence[Row], metric: Metric, by: str) -> Sequence[object]:
    own: dict[str, Sequence[object]] = {
        "#": [row.number for row in rows],
        "is": [row.condition.kind for row in rows],
        "step": [row.step for row in rows],
        "run": [row.name or None for row in rows],
    }
    names = column_names(rows, metric)
    keys = {key: key for key in names} | {name: key for key, name in names.items()}
    if by in own:
        return own[by]
    return [row.varied.get(keys[by]) for row in rows] if by in keys else [row.value(by) for row in rows]


def _place(value: object) -> tuple[int, float, str]:
    """Numbers before texts before nothing."""
    if value is None:
        return _ABSENT
    try:
        return 0, float(str(value)), ""
    except ValueError:
        return 1, 0.0, str(value)
