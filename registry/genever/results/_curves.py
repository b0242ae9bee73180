"""Learning curves, thinned to what a page can carry and an eye can tell apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genever.results._row import numbers

__all__ = ["Curve", "read_curves", "thinned"]

#: Lines of one run's metrics that are parsed at most; those of evaluations always are.
_MOST_LINES = 4000


@dataclass
class Curve:
    """One scalar of one run. A value is None where it was not finite."""

    steps: list[int] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)


def read_curves(metrics: Path) -> tuple[dict[str, Curve], bool]:
    """Every scalar of a run, and whether lines were passed over because there are so many."""
    curves: dict[str, Curve] = {}
    lines, is_whole = _lines(metrics)
    for line in lines:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        step = found.get("step") if isinstance(found, dict) else None
        if not isinstance(step, int):
            continue
        for name, value in numbers(found).items():
            curve = curves.setdefault(name, Curve())
            curve.steps.append(step)
            curve.values.append(value)
    return curves, is_whole


def thinned(curve: Curve, most: int) -> Curve:
    """At most so many points: of each stretch of steps the lowest and the highest, so that no spike is lost.

    Args:
        most: 4 or more.
    """
    num = len(curve.steps)
    if num <= most:
        return curve
    kept = [0]
    num_stretches = (most - 2) // 2
    for stretch in range(num_stretches):
        first, last = (1 + (num - 2) * place // num_stretches for place in (stretch, stretch + 1))
        kept += _extremes(curve.values, range(first, last))
    kept.append(num - 1)
    return Curve([curve.steps[index] for index in kept], [curve.values[index] for index in kept])


def _extremes(values: Sequence[float | None], places: range) -> list[int]:
    """Where the lowest and the highest are, in the order of steps; of a stretch that is not finite, its first place."""
    finite = [(value, index) for index in places if (value := values[index]) is not None]
    found = {min(finite)[1], max(finite)[1]} if finite else {*places[:1]}
    return sorted(found)


def _lines(metrics: Path) -> tuple[Iterator[bytes], bool]:
    try:
        lines = metrics.read_bytes().splitlines()
    except OSError:
        return iter(()), True
    stride = -(-len(lines) // _MOST_LINES)
    if stride <= 1:
        return iter(lines), True
    is_last = len(lines) - 1
    kept = (
        line
        for number, line in enumerate(lines)
        if number % stride == 0 or number == is_last or b'"average/' in line or b'"raw/' in line
    )
    return kept, False
