"""What comparisons say of each run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genever.arena._bout import Bout, wins_of
from genever.arena._bradley_terry import bradley_terry, is_finite
from genever.arena._elo import ELO_START, elo

__all__ = ["Standing", "standings", "standings_json", "standings_text"]

#: From natural units to those of Elo's: 400 points are odds of ten to one.
_POINTS = 400 / np.log(10)
_RESAMPLES = 1000
#: Share of the ratings beyond either end of an interval.
_BEYOND = 0.025


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A run among others.

    Args:
        rating: of Bradley and Terry, in Elo's units around 1000.
        low, high: between which 95 % of the ratings lie that other samples might have given: sample numbers are drawn
            anew, with all their comparisons.
        elo: Elo's, in the order of the comparisons.
    """

    run: str
    rating: float
    low: float
    high: float
    elo: float
    won: int
    tied: int
    lost: int


def standings(bouts: Sequence[Bout], names: Sequence[str]) -> list[Standing]:
    """The best first. The order of comparisons matters for `elo` alone, and luck is the same every time."""
    resampled = _points([bradley_terry(wins) for wins in _resampled(bouts, names)])
    low, high = np.quantile(resampled, [_BEYOND, 1 - _BEYOND], axis=0)
    rating, elos = _points(bradley_terry(wins_of(bouts, names))), elo(bouts, names)
    found = [
        Standing(
            run=name,
            rating=float(rating[place]),
            low=float(low[place]),
            high=float(high[place]),
            elo=elos[name],
            **_counts(bouts, name),
        )
        for place, name in enumerate(names)
    ]
    return sorted(found, key=lambda one: (-one.rating, one.run))


def standings_text(found: Sequence[Standing], bouts: Sequence[Bout]) -> str:
    """A line for each run, and what is to be known of the numbers."""
    width = max(len(one.run) for one in found)
    head = f"{'':{width}}  {'rating':>7}  {'95 % interval':>17}  {'Elo':>7}  {'won':>5} {'tied':>5} {'lost':>5}"
    lines = [
        f"{one.run:<{width}}  {one.rating:7.1f}  [{one.low:7.1f}, {one.high:7.1f}]  {one.elo:7.1f}  "
        f"{one.won:5} {one.tied:5} {one.lost:5}"
        for one in found
    ]
    return "\n".join([head, *lines, *_notes(found, bouts)])


def standings_json(found: Sequence[Standing], bouts: Sequence[Bout]) -> dict[str, Any]:
    return {"comparisons": len(bouts), "standings": [asdict(one) for one in found], "notes": _notes(found, bouts)}


def _notes(found: Sequence[Standing], bouts: Sequence[Bout]) -> list[str]:
    notes = ["rating: Bradley-Terry, ties as half a win, 1000 on average; 400 points are odds of ten to one."]
    notes.append("Elo: K = 4 from 1000, one comparison after the other; in another order they would differ.")
    names = [one.run for one in found]
    if not is_finite(wins_of(bouts, names)):
        notes.append(
            "Some runs never lost to others, or never met them: only a weak prior limits ratings, and no interval counts."
        )
    elif (share := np.mean([not is_finite(wins) for wins in _resampled(bouts, names)])) >= _BEYOND:
        notes.append(
            f"In {share:.0%} of the samples drawn anew only a weak prior limits ratings, since some runs lose to others too "
            "rarely there: an end of an interval that lies far out is the prior's. More comparisons would tell."
        )
    return notes


def _points(strengths: Any) -> NDArray[np.float64]:
    return ELO_START + _POINTS * np.asarray(strengths)


def _resampled(bouts: Sequence[Bout], names: Sequence[str]) -> Iterable[NDArray[np.float64]]:
    """Wins in samples that might have been: comparisons that share a prompt and its noise go together."""
    by_sample: dict[tuple[int, str], list[Bout]] = {}
    for bout in bouts:
        by_sample.setdefault((bout.number, bout.draw), []).append(bout)
    wins = np.stack([wins_of(some, names) for some in by_sample.values()])
    luck = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        yield wins[luck.integers(len(wins), size=len(wins))].sum(0)


def _counts(bouts: Iterable[Bout], name: str) -> Mapping[str, int]:
    scores = [bout.score if bout.first == name else 1 - bout.score for bout in bouts if name in (bout.first, bout.second)]
    return {"won": scores.count(1.0), "tied": sum(0 < score < 1 for score in scores), "lost": scores.count(0.0)}
