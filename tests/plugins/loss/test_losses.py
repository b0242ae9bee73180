import math

import pytest
import torch
from genever_plugins.distance.huber import Huber
from genever_plugins.loss.ddpm import DDPM
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.loss.score_matching import ScoreMatching
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.weighting.inverse_variance import InverseVariance
from torch import Tensor


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mixture_velocity(x: Tensor, t: float) -> Tensor:
    """E[x_1 - x_0 | x_t = x] where data is -2 or 1, with standard deviation 0.3 and shares 0.4 and 0.6."""
    means, shares, variance = torch.tensor([-2.0, 1.0]), torch.tensor([0.4, 0.6]), 0.3**2
    total = t**2 * variance + (1 - t) ** 2
    place = torch.softmax(shares.log() - (x[:, None] - t * means) ** 2 / (2 * total), 1)
    data = (place * (means + t * variance / total * (x[:, None] - t * means))).sum(1)
    return (data - x) / (1 - t)


def mixture_data(num: int) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    first = torch.rand(num, generator=draw) < 0.4
    return torch.where(first, -2.0, 1.0) + 0.3 * torch.randn(num, generator=draw)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_flow_matching_target_averages_to_the_marginal_velocity(t: float) -> None:
    x_1, x_0 = mixture_data(400_000), normal(400_000, dtype=torch.float32)
    x_t = t * x_1 + (1 - t) * x_0
    residual = (x_1 - x_0) - mixture_velocity(x_t, t)
    bins = ((x_t + 2) * 5).long().clamp(0, 19)
    counts = torch.bincount(bins, minlength=20)
    mean = torch.bincount(bins, residual, 20) / counts
    error = (torch.bincount(bins, residual**2, 20) / counts).sqrt() / counts.sqrt()
    assert counts.min() > 100
    assert (mean / error).abs().max() < 4


def test_flow_matching_returns_a_velocity_as_it_is() -> None:
    output = normal(2, 1, 2, 2)
    assert FlowMatching(path=Linear()).velocity(output, normal(2, 1, 2, 2, seed=1), torch.rand(2)) is output


def test_errors_are_means_over_dimensions_one_for_each_sample() -> None:
    output = torch.zeros(3, 2, 4, 4)
    x_1 = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1).expand(3, 2, 4, 4)
    errors = FlowMatching(path=Linear()).errors(output, x_t=x_1, t=torch.rand(3), x_1=x_1, x_0=0 * x_1)
    assert errors.tolist() == [1.0, 4.0, 9.0]


def test_loss_weighs_the_distance_that_it_is_given() -> None:
    x_1, x_0, t = normal(4, 3), normal(4, 3, seed=1), torch.tensor([0.0, 0.5, 0.9, 0.99], dtype=torch.float64)
    loss = FlowMatching(path=Linear(), weighting=InverseVariance(), distance=Huber(c=0.1))
    errors = loss.errors(0 * x_1, x_t=x_1, t=t, x_1=x_1, x_0=x_0)
    torch.testing.assert_close(errors, Huber(c=0.1)(0 * x_1, x_1 - x_0) / (1 - t) ** 2)


def test_edm_plain_error_is_the_weighted_error_of_its_denoiser() -> None:
    x_1, x_0, t, output = normal(8, 5), normal(8, 5, seed=1), torch.linspace(0.05, 0.95, 8).double(), normal(8, 5, seed=2)
    x_t = t[:, None] * x_1 + (1 - t[:, None]) * x_0
    sigma, loss = (1 - t) / t, EDM(path=Linear())
    weight = (sigma**2 + 0.25) / (sigma * 0.5) ** 2
    errors = loss.errors(output, x_t=x_t, t=t, x_1=x_1, x_0=x_0)
    torch.testing.assert_close(errors, weight * (loss.data(output, x_t, t) - x_1).square().mean(1))


def test_edm_shows_the_network_its_own_scale() -> None:
    x_t, t = normal(6, 4), torch.linspace(0.1, 0.9, 6).double()
    sigma = ((1 - t) / t)[:, None]
    shown, times = EDM(path=Linear(), sigma_data=0.5).inputs(x_t, t)
    torch.testing.assert_close(shown, (x_t / t[:, None]) / (sigma**2 + 0.25).sqrt())
    torch.testing.assert_close(times, sigma[:, 0].log() / 4)


def test_edm_tells_the_network_no_noise_beyond_its_range() -> None:
    _, times = EDM(path=Linear()).inputs(torch.zeros(2, 1), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(times, torch.tensor([math.log(80) / 4, math.log(0.002) / 4]))


def test_v_points_against_the_velocity() -> None:
    x_t, t = normal(8, 3), torch.linspace(0, 1, 8).double()
    v, times = normal(8, 3, seed=1), t[:, None]
    u = VPrediction(path=Linear()).velocity(v, x_t, t)
    torch.testing.assert_close(v, (2 * times - 1) * x_t - (times**2 + (1 - times) ** 2) * u)


def test_ddpm_error_is_that_of_the_noise() -> None:
    output, x_0 = normal(4, 3), normal(4, 3, seed=1)
    t = torch.full((4,), 0.5, dtype=torch.float64)
    errors = DDPM(path=VPLinear()).errors(output, x_t=x_0, t=t, x_1=normal(4, 3, seed=2), x_0=x_0)
    torch.testing.assert_close(errors, (output - x_0).square().mean(1))


def test_score_matching_weighs_the_score_with_the_variance() -> None:
    loss, output, x_0 = ScoreMatching(path=VE()), normal(4, 3), normal(4, 3, seed=1)
    t = torch.tensor([0.0, 0.3, 0.6, 1.0], dtype=torch.float64)
    sigma = loss.path.sigma(t)
    x_1 = normal(4, 3, seed=2)
    x_t = x_1 + sigma[:, None] * x_0
    wrong = (loss.score(output, x_t, t) + x_0 / sigma[:, None]).square().mean(1)
    torch.testing.assert_close(loss.errors(output, x_t=x_t, t=t, x_1=x_1, x_0=x_0), sigma**2 * wrong)


def test_score_matching_shows_the_network_unit_variance() -> None:
    loss, t = ScoreMatching(path=VE()), torch.linspace(0, 1, 5)
    x_t = loss.path.sigma(t).view(-1, 1) * normal(5, 20_000, dtype=torch.float32) + normal(5, 20_000, seed=1).float()
    shown, times = loss.inputs(x_t, t)
    torch.testing.assert_close(shown.std(1), torch.ones(5), rtol=0.03, atol=0)
    assert times is t
