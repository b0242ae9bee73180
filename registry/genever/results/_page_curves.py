"""The learning curves that a page carries: of which runs, of which scalars, with how many points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from genever.results._chapters import Chapter
from genever.results._curves import Curve, read_curves, thinned
from genever.results._limits import Limits
from genever.results._names import clipped
from genever.results._row import Row, is_loss, is_result

__all__ = ["PageCurves", "page_curves"]


class PageCurves(NamedTuple):
    """Curves by the number of the row's object.

    Args:
        of_rows: for each row the place of a scalar, steps and values, by `id(row)`.
        note: what is left out; '' = nothing.
    """

    of_rows: Mapping[int, list[Any]]
    scalars: list[str]
    note: str


def page_curves(chapters: Sequence[Chapter], limits: Limits) -> PageCurves:
    """The curves of the best runs and of others evenly picked, as far as the limits go."""
    most = limits.curves // len(chapters)
    runs = [row for chapter in chapters for row in chapter.rows if row.run]
    chosen = [row for chapter in chapters for row in _spaced([one for one in chapter.rows if one.run], most)]
    read = {id(row): read_curves(row.run.metrics) for row in chosen if row.run}
    counts = Counter(name for found, _ in read.values() for name in found)
    scalars = sorted(counts, key=lambda name: _worth(name, chapters, counts))[: limits.scalars]
    num_curves = sum(counts[name] for name in scalars)
    points = min(max(limits.points // max(num_curves, 1), limits.fewest_points), limits.most_points)
    said = []
    if len(chosen) < len(runs):
        said.append(f"{len(chosen)} of {len(runs):,} runs have curves here: the best, and others evenly picked.")
    if left_out := sorted(set(counts) - set(scalars)):
        said.append(f"{len(scalars)} of {len(counts)} scalars are here, without {clipped(', '.join(left_out), 200)}.")
    if any(len(found[name].steps) > points for found, _ in read.values() for name in scalars if name in found):
        said.append(f"Long curves are thinned to {points} points, the lowest and the highest of each stretch of steps.")
    if not all(is_whole for _, is_whole in read.values()):
        said.append("Of very long runs not every line was read.")
    of_rows = {
        key: [_packed(place, thinned(found[name], points)) for place, name in enumerate(scalars) if name in found]
        for key, (found, _) in read.items()
    }
    return PageCurves(of_rows, scalars, " ".join(said))


def _worth(name: str, chapters: Sequence[Chapter], counts: Counter[str]) -> tuple[int, int, str]:
    """Losses first, the model's own before all; what ranks, other results, the rest; those of more runs before others."""
    if "_t0." in name:
        place = 5
    elif any(one and one in (name, name.partition("/")[2]) for one in (chapter.metric.name for chapter in chapters)):
        place = 2
    elif is_loss(name):
        place = 0 if name.startswith("model/") else 1
    else:
        place = 3 if is_result(name) else 4
    return place, -counts[name], name


def _spaced(rows: Sequence[Row], most: int) -> list[Row]:
    """The first rows, and others evenly spaced among the rest."""
    if len(rows) <= most:
        return list(rows)
    first = most * 3 // 4
    rest, num = rows[first:], most - first
    return [*rows[:first], *(rest[place * len(rest) // num] for place in range(num))]


def _packed(place: int, curve: Curve) -> list[Any]:
    return [place, curve.steps, [None if value is None else float(f"{value:.5g}") for value in curve.values]]
