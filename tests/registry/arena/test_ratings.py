"""Ratings of runs from comparisons of two at a time."""

import math
import random
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from genever.arena import Bout, bouts_of_scores, bradley_terry, elo, is_finite, standings, standings_text

NAMES = ("a", "b", "c")


def drawn(strengths: dict[str, float], num: int, *, ties: float = 0.0) -> list[Bout]:
    """Comparisons of every pair on every number, won with the probability that Bradley and Terry say."""
    luck = random.Random(1)
    return [
        Bout(first=one, second=other, number=number, score=0.5 if luck.random() < ties else float(luck.random() < chance))
        for number in range(num)
        for one, other in combinations(strengths, 2)
        for chance in [1 / (1 + math.exp(strengths[other] - strengths[one]))]
    ]


def swapped(bouts: list[Bout]) -> list[Bout]:
    return [Bout(first=one.second, second=one.first, number=one.number, score=1 - one.score) for one in bouts]


def test_bradley_terry_of_two_runs_is_the_log_odds() -> None:
    found = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert found == pytest.approx([math.log(3) / 2, -math.log(3) / 2], abs=1e-3)


def test_bradley_terry_recovers_known_strengths_within_their_intervals() -> None:
    strengths = {"a": 0.9, "b": 0.0, "c": -0.9}
    found = {one.run: one for one in standings(drawn(strengths, 2000), NAMES)}
    points = 400 / math.log(10)
    for run, strength in strengths.items():
        assert found[run].rating == pytest.approx(1000 + points * strength, abs=25)
        assert found[run].low < 1000 + points * strength < found[run].high
        assert 5 < found[run].high - found[run].low < 60


def test_bradley_terry_solves_its_own_equations() -> None:
    # At the maximum every run wins as often as its strength lets expect.
    wins = np.array([[0.0, 5, 9, 2], [3, 0, 4, 8], [1, 6, 0, 7], [5, 2.5, 3, 0]])
    strengths = bradley_terry(wins)
    expected = (wins + wins.T) / (1 + np.exp(strengths[None] - strengths[:, None]))
    assert expected.sum(1) - expected.diagonal() == pytest.approx(wins.sum(1), abs=0.01)


def test_ties_count_as_half_a_win() -> None:
    ties = [Bout(first="a", second="b", number=n, score=0.5) for n in range(10)]
    even = [Bout(first="a", second="b", number=n, score=float(n % 2)) for n in range(10)]
    found = [standings(bouts, ("a", "b"))[0].rating for bouts in (ties, even)]
    assert found == pytest.approx([1000, 1000])
    assert (standings(ties, ("a", "b"))[0].tied, standings(even, ("a", "b"))[0].tied) == (10, 0)


def test_ratings_do_not_depend_on_which_run_stands_first() -> None:
    bouts = drawn({"a": 0.5, "b": 0.0, "c": -0.2}, 50, ties=0.3)
    ours, theirs = standings(bouts, NAMES), standings(swapped(bouts), NAMES)
    assert [one.run for one in ours] == [one.run for one in theirs]
    assert [one.rating for one in ours] == pytest.approx([one.rating for one in theirs])
    assert [one.elo for one in ours] == pytest.approx([one.elo for one in theirs])


def test_elo_moves_by_hand_and_what_one_wins_the_other_loses() -> None:
    first = elo([Bout(first="a", second="b", number=0, score=1.0)], ("a", "b"))
    assert first == {"a": 1002.0, "b": 998.0}
    many = elo(drawn({"a": 2.0, "b": 0.0, "c": -1.0}, 200), NAMES)
    assert sum(many.values()) == pytest.approx(3000)
    assert many["a"] > many["b"] > many["c"]


def test_elo_depends_on_the_order_and_bradley_terry_does_not() -> None:
    bouts = drawn({"a": 1.0, "b": 0.0, "c": 0.0}, 40)
    ours, turned = standings(bouts, NAMES), standings(bouts[::-1], NAMES)
    assert [one.rating for one in ours] == pytest.approx([one.rating for one in turned])
    assert ours[0].elo != pytest.approx(turned[0].elo, abs=1e-6)


def test_run_that_never_lost_is_far_ahead_and_said_to_have_no_limit() -> None:
    bouts = [Bout(first="a", second="b", number=n, score=1.0) for n in range(20)]
    found = standings(bouts, ("a", "b"))
    assert not is_finite(np.array([[0.0, 20], [0, 0]]))
    assert found[0].run == "a"
    assert math.isfinite(found[0].rating)
    assert "Some runs never lost to others" in standings_text(found, bouts)
    assert "never lost" not in standings_text(found, [*bouts, Bout(first="a", second="b", number=20, score=0.0)])


@pytest.mark.parametrize(("lost", "is_said"), [(3, True), (10, False)])
def test_interval_that_ends_where_the_prior_says_is_told(lost: int, is_said: bool) -> None:
    # Of samples drawn anew from 100, a share of 0.97^100 = 5 % holds no loss; of 0.9^100, none of a thousand.
    bouts = [Bout(first="a", second="b", number=n, score=float(n >= lost)) for n in range(100)]
    text = standings_text(standings(bouts, ("a", "b")), bouts)
    assert ("% of the samples drawn anew" in text) is is_said


def test_interval_counts_samples_of_other_noise_as_samples_of_their_own() -> None:
    many = [Bout(first="a", second="b", number=n, score=float(n % 3 > 0)) for n in range(30)]
    drawn_twice = [replace(bout, number=bout.number // 2, draw=f"seed {bout.number % 2}") for bout in many]
    one, other = (standings(bouts, ("a", "b"))[0] for bouts in (many, drawn_twice))
    assert (one.low, one.high) == (other.low, other.high)


def test_scores_make_a_comparison_of_each_pair_on_each_number() -> None:
    bouts = bouts_of_scores({"a": [1.0, 2.0], "b": [1.0, 3.0], "c": [0.0, 9.0]}, highest=False)
    found = {(one.first, one.second, one.number): one.score for one in bouts}
    assert found == {
        ("a", "b", 0): 0.5,
        ("a", "c", 0): 0.0,
        ("b", "c", 0): 0.0,
        ("a", "b", 1): 1.0,
        ("a", "c", 1): 1.0,
        ("b", "c", 1): 1.0,
    }


def test_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^The score of b on number 1 is not finite, so it cannot be compared\."):
        bouts_of_scores({"a": [1.0, 2.0], "b": [1.0, math.nan]})
