"""Results as columns of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from genever.results._groups import Group, groups_in_order
from genever.results._metric import Metric, better_ends, is_last
from genever.results._names import short_keys, short_results, short_values, shown_number
from genever.results._row import Row

__all__ = ["Column", "column_names", "differing", "grouped_columns", "results_shown", "row_columns", "table_text"]

#: Names of columns that are always there.
_OWN = ("#", "is", "step", "loss", "run", "finished")
_WIDEST = 28
_Line = TypeVar("_Line", Row, Group)


@dataclass(frozen=True)
class Column:
    """Cells under a title.

    Args:
        is_vital: whether it is shown however narrow the terminal is.
        is_text: whether its cells stand to the left, even if they are digits.
    """

    title: str
    cells: Sequence[str]
    is_vital: bool = False
    is_text: bool = False

    @cached_property
    def width(self) -> int:
        """Characters, at most `_WIDEST`."""
        return min(max(map(len, (self.title, *self.cells))), _WIDEST)

    @property
    def lines(self) -> list[str]:
        """The title and the cells, equally wide; numbers to the right."""
        is_numeric = not self.is_text and all(
            cell == "" or cell[0] in "+-0123456789" or cell == "not finite" for cell in self.cells
        )
        cut = [text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..." for text in (self.title, *self.cells)]
        return [text.rjust(self.width) if is_numeric else text.ljust(self.width) for text in cut]


def differing(rows: Sequence[Row]) -> list[str]:
    """The keys whose values are not the same in all rows; all keys of a single row."""
    keys = dict.fromkeys(key for row in rows for key in row.varied)
    return [key for key in keys if len(rows) == 1 or len({row.varied.get(key) for row in rows}) > 1]


def results_shown(rows: Sequence[Row], metric: Metric) -> list[str]:
    """Short names: the metric's, the loss of training, other results.

    Validation by bins of time is left out, and what the raw weights gave where an average gave it too.
    """
    full = short_results(row.results for row in rows)
    names = [short for name, short in full.items() if "_t0." not in name and short != name]
    better = better_ends(rows)
    names.sort(key=lambda name: is_last(name, better))
    return list(dict.fromkeys([*([metric.name] if metric.name else []), "loss", *names]))


def column_names(rows: Sequence[Row], metric: Metric) -> dict[str, str]:
    """The titles of what varies, by full key."""
    return short_keys(differing(rows), (*_OWN, *results_shown(rows, metric)))


def row_columns(rows: Sequence[Row], metric: Metric) -> list[Column]:
    """A line for each run, in this order; columns in the order of their worth."""
    is_one = len({row.name.rpartition("/")[0] for row in rows if row.name}) <= 1
    return [
        Column("#", [str(row.number) for row in rows], True),
        *_varied(rows, rows, metric),
        Column("is", [row.condition.kind for row in rows], True),
        Column("step", list(map(_step, rows)), True),
        *_measured(rows, rows, metric, _cell),
        Column("run", [row.name.rpartition("/")[2] if is_one else row.name for row in rows], is_text=True),
    ]


def grouped_columns(rows: Sequence[Row], metric: Metric) -> list[Column]:
    """A line for runs that differ in their seeds alone, as `groups_in_order` has them."""
    groups = groups_in_order(rows, metric)
    return [
        *_varied(groups, rows, metric),
        Column("finished", [f"{group.num_finished} of {len(group.rows)}" for group in groups], True),
        *_measured(groups, rows, metric, _spread),
    ]


def table_text(columns: Sequence[Column], width: int) -> tuple[str, list[str]]:
    """The columns as far as a line has room, and the titles of those that it has no room for."""
    room = width + 2 - sum(column.width + 2 for column in columns if column.is_vital)
    kept, left_out = list[Column](), list[str]()
    for column in columns:
        if column.is_vital or column.width + 2 <= room:
            kept.append(column)
            room -= 0 if column.is_vital else column.width + 2
        else:
            left_out.append(column.title)
    lines = zip(*(column.lines for column in kept), strict=True)
    return "\n".join("  ".join(line).rstrip() for line in lines), left_out


def _varied(shown: Sequence[_Line], rows: Sequence[Row], metric: Metric) -> list[Column]:
    columns = list[Column]()
    keys = {key for one in shown for key in one.varied}
    for key, title in column_names(rows, metric).items():
        short = short_values({row.varied[key] for row in rows if key in row.varied})
        if key in keys:
            columns.append(Column(title, [short.get(one.varied.get(key, ""), "") for one in shown], True))
    return columns


def _measured(
    shown: Sequence[_Line], rows: Sequence[Row], metric: Metric, cell: Callable[[_Line, str], str]
) -> list[Column]:
    return [Column(name, [cell(one, name) for one in shown], name == metric.name) for name in results_shown(rows, metric)]


def _step(row: Row) -> str:
    total = row.condition.total
    return "" if row.step is None else f"{row.step}/{total}" if total and not row.is_finished else str(row.step)


def _cell(row: Row, name: str) -> str:
    return "" if row.full_name(name) is None else shown_number(row.value(name))


def _spread(group: Group, name: str) -> str:
    spread = group.spread(name)
    if spread is None:
        return ""
    deviation = f" ± {spread.std:.2g}" if spread.std is not None else ""
    share = f" ({spread.num} of {group.num_finished})" if group.is_partial(spread) else ""
    return shown_number(spread.mean) + deviation + share
