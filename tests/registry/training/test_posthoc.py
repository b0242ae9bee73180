"""Averages that are put together out of snapshots of others."""

import numpy as np
import pytest
from genever.training import Mixture, Snapshot, mix
from genever_plugins.average.power import Power

GRID = (np.arange(40_000) + 0.5) / 40_000


def snapshots(lengths: tuple[float, ...], steps: tuple[int, ...]) -> list[Snapshot]:
    return [Snapshot(Power(sigma_rel=length), num) for length in lengths for num in steps]


def sampled(snapshot: Snapshot, num_steps: int) -> np.ndarray:
    """A profile on a fine grid over [0, num_steps], from its definition."""
    s, n, gamma = GRID * num_steps, snapshot.num_steps, snapshot.average.gamma  # pyright: ignore
    return np.where(s <= n, (gamma + 1) * (s / n) ** gamma / n, 0.0)


def weights_of(snapshot: Snapshot, num_steps: int) -> np.ndarray:
    """How much each step counts in a snapshot, by going through the decays one after the other."""
    weights = np.zeros(num_steps)
    for step in range(snapshot.num_steps):
        decay = snapshot.average.decay_at(step)
        weights *= decay
        weights[step] += 1 - decay
    return weights


def sampled_misfit(found: Mixture, given: list[Snapshot], wanted: Snapshot) -> float:
    target = sampled(wanted, wanted.num_steps)
    mixed = np.stack([sampled(one, wanted.num_steps) for one in given], axis=1) @ np.array(found.coefficients)
    return float(np.linalg.norm(mixed - target) / np.linalg.norm(target))


@pytest.mark.parametrize("length", [0.03, 0.07, 0.15, 0.25])
def test_mixture_is_what_least_squares_on_sampled_profiles_gives(length: float) -> None:
    given, wanted = snapshots((0.05, 0.1), (300, 600, 900, 1200)), Snapshot(Power(sigma_rel=length), 1200)
    columns = np.stack([sampled(one, 1200) for one in given], axis=1)
    solved, *_ = np.linalg.lstsq(columns, sampled(wanted, 1200), rcond=None)
    assert mix(given, wanted).coefficients == pytest.approx(solved / solved.sum(), abs=1e-3)


@pytest.mark.parametrize("length", [0.01, 0.07, 0.15, 0.27])
@pytest.mark.parametrize("num", [1, 4, 16])
def test_misfit_is_the_distance_of_sampled_profiles(length: float, num: int) -> None:
    steps = tuple(1600 * (number + 1) // num for number in range(num))
    given, wanted = snapshots((0.05, 0.1), steps), Snapshot(Power(sigma_rel=length), 1600)
    found = mix(given, wanted)
    assert found.misfit == pytest.approx(sampled_misfit(found, given, wanted), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("length", [0.04, 0.08, 0.2])
def test_weights_of_single_steps_are_no_further_off_than_the_misfit(length: float) -> None:
    given, wanted = snapshots((0.05, 0.1), (4, 8, 12, 16, 20, 24)), Snapshot(Power(sigma_rel=length), 24)
    found, target = mix(given, wanted), weights_of(wanted, 24)
    mixed = sum(c * weights_of(one, 24) for c, one in zip(found.coefficients, given, strict=True))
    off = np.linalg.norm(mixed - target) / np.sqrt(wanted.overlap(wanted))
    assert 0.2 * found.misfit < off <= found.misfit


@pytest.mark.parametrize("number", [0, 5, 11])
def test_mixture_of_a_tracked_average_is_itself(number: int) -> None:
    given = snapshots((0.05, 0.1), (10, 20, 30, 40, 50, 60))
    found = mix(given, given[number])
    assert found.coefficients == pytest.approx(np.eye(12)[number], abs=1e-6)
    assert found.misfit < 1e-6


def test_mixture_sums_to_one_where_it_fits_badly() -> None:
    found = mix(snapshots((0.05,), (10, 20)), Snapshot(Power(sigma_rel=0.25), 20))
    assert sum(found.coefficients) == pytest.approx(1.0)
    assert found.misfit > 0.5


def test_mixture_of_many_snapshots_stays_small_and_near() -> None:
    given, wanted = snapshots((0.05, 0.1), tuple(range(1000, 100_001, 1000))), Snapshot(Power(sigma_rel=0.15), 100_000)
    found = mix(given, wanted)
    assert np.abs(found.coefficients).sum() < 3
    assert sampled_misfit(found, given, wanted) < 1e-3


def test_two_averages_fit_better_than_one_and_more_snapshots_than_few() -> None:
    wanted = Snapshot(Power(sigma_rel=0.075), 1600)
    few, many = (400, 800, 1200, 1600), tuple(range(100, 1601, 100))
    misfits = [mix(snapshots(*given), wanted).misfit for given in (((0.05,), few), ((0.05, 0.1), few), ((0.05, 0.1), many))]
    assert misfits == sorted(misfits, reverse=True)
    assert misfits == pytest.approx([0.3317, 0.0349, 0.0035], rel=0.02)
