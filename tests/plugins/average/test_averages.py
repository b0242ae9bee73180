from collections.abc import Iterable

import numpy as np
import pytest
from genever.slots import Average
from genever_plugins.average.constant import Constant
from genever_plugins.average.power import Power
from genever_plugins.average.warmup import Warmup


def averaged(average: Average, weights: Iterable[float], start: float = 0.0) -> float:
    value = start
    for step, weight in enumerate(weights):
        decay = average.decay_at(step)
        value = decay * value + (1 - decay) * weight
    return value


def test_constant_average_of_a_ramp_lags_as_the_closed_form_says() -> None:
    beta, num = 0.9, 40
    lag = beta / (1 - beta) * (1 - beta ** (num - 1))
    assert averaged(Constant(decay=beta), range(num)) == pytest.approx(num - 1 - lag)


def test_constant_average_forgets_its_start_geometrically() -> None:
    assert averaged(Constant(decay=0.5), [0.0] * 5, start=32.0) == 1.0


def test_warmup_average_starts_with_short_memory() -> None:
    decays = [Warmup(decay=0.9).decay_at(step) for step in (0, 9, 79, 80, 81, 10_000)]
    assert decays == pytest.approx([0.1, 10 / 19, 80 / 89, 0.9, 0.9, 0.9])


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_power_average_has_the_published_exponents(sigma_rel: float, gamma: float) -> None:
    assert Power(sigma_rel=sigma_rel).gamma == pytest.approx(gamma, abs=0.005)


def test_power_average_leaves_nothing_of_the_start() -> None:
    assert averaged(Power(), [3.0], start=100.0) == 3.0


@pytest.mark.parametrize("sigma_rel", [0.05, 0.2])
def test_power_average_of_a_ramp_has_the_mean_of_its_profile(sigma_rel: float) -> None:
    average, num = Power(sigma_rel=sigma_rel), 4000
    mean = averaged(average, [step / num for step in range(num)])
    assert mean == pytest.approx((average.gamma + 1) / (average.gamma + 2), abs=5e-4)


@pytest.mark.parametrize("sigma_rel", [0.05, 0.2])
def test_power_average_is_as_wide_as_it_says(sigma_rel: float) -> None:
    average, num = Power(sigma_rel=sigma_rel), 4000
    ramp = [step / num for step in range(num)]
    variance = averaged(average, [value**2 for value in ramp]) - averaged(average, ramp) ** 2
    assert variance**0.5 == pytest.approx(sigma_rel, abs=1e-3)


def profile(gamma: float, num_steps: int, s: np.ndarray) -> np.ndarray:
    return np.where(s <= num_steps, (gamma + 1) * s**gamma / float(num_steps) ** (gamma + 1), 0.0)


@pytest.mark.parametrize("sigma_rel", [0.01, 0.05, 0.1, 0.2, 0.27])
def test_power_average_has_the_exponent_whose_profile_is_as_wide_as_it_says(sigma_rel: float) -> None:
    s = (np.arange(100_000) + 0.5) / 100_000
    weights = profile(Power(sigma_rel=sigma_rel).gamma, 1, s) / 100_000
    mean = (weights * s).sum()
    assert weights.sum() == pytest.approx(1.0, abs=1e-6)
    assert (weights * (s - mean) ** 2).sum() ** 0.5 == pytest.approx(sigma_rel, rel=1e-4)


@pytest.mark.parametrize("lengths", [(0.05, 0.05), (0.05, 0.1), (0.25, 0.02)])
@pytest.mark.parametrize("steps", [(10, 10), (4, 10), (10, 7)])
def test_overlap_of_two_power_averages_is_the_integral_of_their_product(
    lengths: tuple[float, float], steps: tuple[int, int]
) -> None:
    one, other = (Power(sigma_rel=length) for length in lengths)
    s = (np.arange(200_000) + 0.5) / 20_000
    expected = (profile(one.gamma, steps[0], s) * profile(other.gamma, steps[1], s)).sum() / 20_000
    assert one.overlap(steps[0], other, steps[1]) == pytest.approx(expected, rel=1e-3)
    assert other.overlap(steps[1], one, steps[0]) == pytest.approx(expected, rel=1e-3)


def test_power_average_is_also_had_at_another_length() -> None:
    assert Power().of_length(0.15) == Power(sigma_rel=0.15)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.28, float("nan")])
def test_power_average_of_an_impossible_length_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match=r"the average length .* is no share .*Choose one above 0 and below 0.28."):
        Power().of_length(length)
