"""Ratings that move with every comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genever.arena._bout import Bout

__all__ = ["ELO_START", "elo"]

ELO_START = 1000.0


def elo(bouts: Iterable[Bout], names: Sequence[str], *, k: float = 4.0) -> dict[str, float]:
    """R += k (S - E) after each comparison, with E = 1 / (1 + 10^((R_other - R) / 400)); what one wins, the other loses.

    They depend on the order of the comparisons, and after few of them still on where they started; Bradley-Terry's do
    neither.

    Args:
        k: the most that a comparison moves a rating.

    References:
        Elo, The Rating of Chessplayers, Past and Present, 1978.
        Chiang et al., Chatbot Arena: An Open Platform for Evaluating LLMs by Human Preference, 2024. arXiv:2403.04132
    """
    ratings = dict.fromkeys(names, ELO_START)
    for bout in bouts:
        expected = 1 / (1 + 10 ** ((ratings[bout.second] - ratings[bout.first]) / 400))
        moved = k * (bout.score - expected)
        ratings[bout.first] += moved
        ratings[bout.second] -= moved
    return ratings
