"""Runs that differ in their seeds alone, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from genever.results._metric import Metric
from genever.results._names import SEED
from genever.results._row import Row

__all__ = ["Group", "Spread", "groups_in_order", "without_seeds"]


@dataclass(frozen=True)
class Spread:
    """A mean over seeds.

    Args:
        std: of the sample, with n - 1 below the line. None = there is one value.
        num: of the values that went in.
    """

    mean: float
    std: float | None
    num: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs of one stage whose bindings are the same but for seeds.

    Args:
        varied: gin text by full key, without the seeds.
    """

    varied: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def num_finished(self) -> int:
        return sum(row.is_finished for row in self.rows)

    def is_partial(self, spread: Spread) -> bool:
        """Whether runs that finished have no finite value to go in: the mean is that of those that did not diverge."""
        return spread.num < self.num_finished

    def spread(self, name: str) -> Spread | None:
        """Of a number over the runs that finished; None where it is finite in none of them."""
        found = [row.value(name) for row in self.rows if row.is_finished]
        values = [value for value in found if value is not None]
        return Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values)) if values else None


def groups_in_order(rows: Iterable[Row], metric: Metric) -> list[Group]:
    """The best mean first; then means of some of the runs that finished; what has none last."""
    found: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(without_seeds(row.varied).items()), []).append(row)

    def place(group: Group) -> tuple[bool, bool, float]:
        spread = group.spread(metric.name)
        if spread is None:
            return True, True, 0.0
        return False, group.is_partial(spread), (-1 if metric.highest else 1) * spread.mean

    return sorted((Group(varied=dict(varied), rows=tuple(rows)) for varied, rows in found.items()), key=place)


def without_seeds(varied: Mapping[str, str]) -> dict[str, str]:
    """What varies beside luck."""
    return {key: text for key, text in varied.items() if key.rpartition(":")[2] != SEED}
