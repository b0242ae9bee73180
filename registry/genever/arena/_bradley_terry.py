"""Strengths under which comparisons are most likely."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["bradley_terry", "is_finite"]

#: Weight of a normal prior of mean 0 on strengths, which holds them finite where the comparisons alone do not. Its standard
#: deviation, 30 in natural units, is far beyond any difference that a few thousand comparisons can show.
_PRIOR = 1 / 30**2
_MOST_STEPS = 100


def bradley_terry(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """The maximum likelihood of P(i beats j) = σ(s_i - s_j), by Newton's method; strengths s have mean 0.

    Args:
        wins: how often each run (row) beat each other one (column); ties are half a win of both.

    Returns:
        Strengths in natural units [runs]. Where `is_finite` says no, some are as far as a weak prior lets them.

    References:
        Bradley and Terry, Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons, 1952.
        Hunter, MM algorithms for generalized Bradley-Terry models, 2004 (when a maximum exists).
    """
    games, num = wins + wins.T, len(wins)
    strengths, value = np.zeros(num), _likelihood(wins, np.zeros(num))
    for _ in range(_MOST_STEPS):
        expected = games * _sigmoid(strengths)
        gradient = (wins - expected).sum(1) - _PRIOR * strengths
        spread = expected * (1 - _sigmoid(strengths))
        curvature = np.diag(spread.sum(1) + _PRIOR) - spread
        step = np.linalg.solve(curvature, gradient)
        # The likelihood is concave, so halving a step that overshoots ends with one that does not.
        while (moved := _likelihood(wins, strengths + step)) < value and np.abs(step).max() > 1e-12:
            step = step / 2
        strengths, value = strengths + step, max(value, moved)
        if np.abs(step).max() < 1e-10:
            break
    return strengths - strengths.mean()


def is_finite(wins: NDArray[np.float64]) -> bool:
    """Whether the comparisons alone give finite strengths: every run reaches every other along wins or ties."""
    reached = (wins > 0) | np.eye(len(wins), dtype=bool)
    for _ in range(len(wins)):
        reached = reached @ reached
    return bool(reached.all())


def _sigmoid(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(row beats column)."""
    return 0.5 + 0.5 * np.tanh((strengths[:, None] - strengths[None]) / 2)


def _likelihood(wins: NDArray[np.float64], strengths: NDArray[np.float64]) -> float:
    differences = strengths[:, None] - strengths[None]
    return float(-(wins * np.logaddexp(0, -differences)).sum() - _PRIOR / 2 * (strengths**2).sum())
