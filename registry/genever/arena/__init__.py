"""Which of several runs is better, from comparisons of two at a time. Nothing here imports torch."""

from genever.arena._answers import Answers
from genever.arena._bout import Bout, bouts_of_scores
from genever.arena._bradley_terry import bradley_terry, is_finite
from genever.arena._elo import elo
from genever.arena._serve import Pair, Show, serve
from genever.arena._standing import Standing, standings, standings_json, standings_text

__all__ = [
    "Answers",
    "Bout",
    "Pair",
    "Show",
    "Standing",
    "bouts_of_scores",
    "bradley_terry",
    "elo",
    "is_finite",
    "serve",
    "standings",
    "standings_json",
    "standings_text",
]
