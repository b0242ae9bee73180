from collections.abc import Iterable

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
