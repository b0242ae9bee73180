from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from genever.slots import Sampler
from genever.values import LatentSpec, TimeContext
from genever_plugins.sampler.cos_map import CosMap
from genever_plugins.sampler.logit_normal import LogitNormal
from genever_plugins.sampler.mode import Mode
from genever_plugins.sampler.shifted import Shifted
from genever_plugins.sampler.uniform import Uniform
from scipy.stats import kstest, norm
from torch import Tensor


def times(sampler: Sampler, num: int = 50_000, side: int = 8) -> Tensor:
    context = TimeContext(latent=LatentSpec(channels=1, height=side, width=side))
    return sampler(num, generator=torch.Generator().manual_seed(3), context=context)


def mode_below(t: np.ndarray, scale: float) -> np.ndarray:
    """The share of u with 1 - u - scale (cos²(pi u / 2) - 1 + u) <= t, by looking at very many."""
    u = torch.linspace(0, 1, 400_001, dtype=torch.float64)
    mapped = 1 - u - scale * (torch.cos(torch.pi / 2 * u) ** 2 - 1 + u)
    return (torch.searchsorted(mapped.sort().values, torch.as_tensor(t).double()) / len(u)).numpy()


LAWS = [
    (Uniform(), lambda t: t),
    (Uniform(stratified=True), lambda t: t),
    (LogitNormal(), lambda t: norm.cdf(torch.logit(torch.as_tensor(t)).numpy())),
    (LogitNormal(mean=1.0, std=0.5), lambda t: norm.cdf(torch.logit(torch.as_tensor(t)).numpy(), 1.0, 0.5)),
    (Mode(), lambda t: mode_below(t, 1.29)),
    (Mode(scale=-0.5), lambda t: mode_below(t, -0.5)),
    (CosMap(), lambda t: (2 / torch.pi * torch.atan2(torch.as_tensor(t), 1 - torch.as_tensor(t))).numpy()),
    (Shifted(sampler=Uniform(), alpha=3.0), lambda t: 3 * t / (1 + 2 * t)),
]


@pytest.mark.parametrize(("sampler", "below"), LAWS, ids=[str(sampler) for sampler, _ in LAWS])
def test_times_follow_their_law(sampler: Sampler, below: Callable[[Any], Any]) -> None:
    t = times(sampler)
    assert t.dtype == torch.float32
    assert t.min() >= 0
    assert t.max() <= 1
    assert kstest(t.numpy(), below).pvalue > 0.02


def test_logit_normal_with_a_positive_mean_prefers_data() -> None:
    assert times(LogitNormal(mean=1.0)).mean() > 0.65


def test_logit_normal_draws_the_noise_levels_of_edm() -> None:
    t = times(LogitNormal(mean=1.2, std=1.2)).double()
    assert kstest(((1 - t) / t).log().numpy(), norm(-1.2, 1.2).cdf).pvalue > 0.02


def test_stratified_times_visit_every_interval_once_in_random_order() -> None:
    t = times(Uniform(stratified=True), num=100)
    assert (t * 100).long().sort().values.tolist() == list(range(100))
    assert (t.diff() < 0).any()


def test_shift_of_one_changes_nothing() -> None:
    assert times(Shifted(sampler=Mode(), alpha=1.0)).equal(times(Mode()))


def test_shifts_multiply() -> None:
    twice = Shifted(sampler=Shifted(sampler=Uniform(), alpha=1.5), alpha=2.0)
    torch.testing.assert_close(times(twice), times(Shifted(sampler=Uniform(), alpha=3.0)))


def test_shifted_logit_normal_is_logit_normal() -> None:
    shifted = Shifted(sampler=LogitNormal(mean=0.3, std=0.8), alpha=torch.e)
    torch.testing.assert_close(times(shifted), times(LogitNormal(mean=-0.7, std=0.8)))


def test_shift_above_one_goes_towards_noise_and_keeps_the_ends() -> None:
    def fixed(num: int, *, generator: torch.Generator, context: TimeContext) -> Tensor:
        return torch.tensor([0.0, 0.5, 1.0])

    torch.testing.assert_close(times(Shifted(sampler=fixed, alpha=3.0)), torch.tensor([0.0, 0.25, 1.0]))


def test_shift_by_resolution_is_the_root_of_the_ratio_of_positions() -> None:
    by_size = times(Shifted(sampler=Uniform(), base_positions=64), side=24)
    torch.testing.assert_close(by_size, times(Shifted(sampler=Uniform(), alpha=3.0)))


def test_shift_by_resolution_keeps_how_well_an_images_mean_is_known() -> None:
    def half(num: int, *, generator: torch.Generator, context: TimeContext) -> Tensor:
        return torch.full((num,), 0.5)

    def deviation(side: int) -> Tensor:
        # The mean over n positions of x_t / t = c + (1 - t) / t · x_0 estimates a constant image c.
        t = times(Shifted(sampler=half, base_positions=64), num=1, side=side)
        x_0 = torch.randn(2000, side**2, generator=torch.Generator().manual_seed(side), dtype=torch.float64)
        return ((1 - t) / t * x_0).mean(1).std()

    expected = torch.tensor(1 / 8, dtype=torch.float64)  # (1 - t) / (t sqrt(n)) at the base's 64 positions
    for side in (8, 24, 40):
        torch.testing.assert_close(deviation(side), expected, rtol=0.05, atol=0)


@pytest.mark.parametrize("given", [{}, {"alpha": 2.0, "base_positions": 64}])
def test_shift_has_to_be_said_exactly_once(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Exactly one of them says how far to shift: set one\."):
        Shifted(sampler=Uniform(), **given)
