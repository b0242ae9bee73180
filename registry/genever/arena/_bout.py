"""One comparison of two runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bout", "bouts_of_scores", "wins_of"]


@dataclass(frozen=True, kw_only=True)
class Bout:
    """Two runs' samples of one number, compared.

    Args:
        number: of the sample, or of the block of samples: the same prompt and noise for both.
        score: of the first: 1 = it is better, 0 = the second is, 0.5 = neither.
        draw: what else tells its prompt and noise, where the number alone does not. '' = it does.
    """

    first: str
    second: str
    number: int
    score: float
    draw: str = ""


def bouts_of_scores(scores: Mapping[str, Sequence[float]], *, highest: bool = True) -> list[Bout]:
    """Every pair of runs on every number, by a score of each run on each number; equal scores are ties.

    Raises:
        ValueError: a score is not finite.
    """
    for run, values in scores.items():
        if bad := [number for number, value in enumerate(values) if not math.isfinite(value)]:
            raise ValueError(f"The score of {run} on number {bad[0]} is not finite, so it cannot be compared.")
    sign = 1 if highest else -1
    return [
        Bout(first=one, second=other, number=number, score=0.5 + 0.5 * float(np.sign(sign * (a - b))))
        for number in range(min(map(len, scores.values())))
        for one, other in combinations(scores, 2)
        for a, b in [(scores[one][number], scores[other][number])]
    ]


def wins_of(bouts: Iterable[Bout], names: Sequence[str]) -> NDArray[np.float64]:
    """How often each run (row) beat each other one (column); a tie is half a win of both."""
    places = {name: place for place, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for bout in bouts:
        first, second = places[bout.first], places[bout.second]
        wins[first, second] += bout.score
        wins[second, first] += 1 - bout.score
    return wins
