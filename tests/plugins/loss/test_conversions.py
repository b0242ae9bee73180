"""A perfect output, written as each paper writes it, must give back exactly what x_t was made of."""

from dataclasses import replace

import pytest
import torch
from genever.slots import Loss
from genever_plugins.loss.ddpm import DDPM
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.loss.score_matching import ScoreMatching
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.weighting.min_snr import MinSNR
from torch import Tensor

PATHS = [VE(), VPCosine(), VPLinear()]
LOSSES = [
    FlowMatching(path=Linear()),
    EDM(path=Linear()),
    EDM(path=Linear(), sigma_data=1.3),
    VPrediction(path=Linear()),
    *[kind(path=path) for kind in (DDPM, ScoreMatching, VPrediction) for path in PATHS],
]


class Sample:
    """x_t at random times of a loss's path, and the network's perfect output."""

    def __init__(self, loss: Loss) -> None:
        draw = torch.Generator().manual_seed(0)
        self.x_1, self.x_0 = torch.randn(2, 64, 2, 3, 3, generator=draw, dtype=torch.float64)
        path, u = loss.path, torch.rand(64, generator=draw, dtype=torch.float64)
        self.t = path.start + (path.stop - path.start) * (0.01 + 0.98 * u)
        self.alpha, self.sigma, self.d_alpha, self.d_sigma = (
            f(self.t).view(-1, 1, 1, 1) for f in (path.alpha, path.sigma, path.d_alpha, path.d_sigma)
        )
        self.x_t = self.alpha * self.x_1 + self.sigma * self.x_0
        self.velocity = self.d_alpha * self.x_1 + self.d_sigma * self.x_0
        self.output = self._perfect(loss)
        self.both = {"x_1": self.x_1, "x_0": self.x_0, "x_t": self.x_t, "t": self.t}

    def _perfect(self, loss: Loss) -> Tensor:
        match loss:
            case FlowMatching():
                return self.x_1 - self.x_0
            case DDPM():
                return self.x_0
            case ScoreMatching():
                return -self.x_0
            case VPrediction():
                return self.alpha * self.x_0 - self.sigma * self.x_1
        s, data = self.sigma / self.alpha, loss.sigma_data
        c_skip, c_out = data**2 / (s**2 + data**2), s * data / (s**2 + data**2).sqrt()  # EDM, table 1
        return (self.x_1 - c_skip * self.x_t / self.alpha) / c_out


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_perfect_output_gives_back_data_noise_velocity_and_score(loss: Loss) -> None:
    at = Sample(loss)
    found = [f(at.output, at.x_t, at.t) for f in (loss.data, loss.noise, loss.velocity, loss.score)]
    expected = [at.x_1, at.x_0, at.velocity, -at.x_0 / at.sigma]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_perfect_output_has_no_error(loss: Loss) -> None:
    at = Sample(loss)
    torch.testing.assert_close(loss.errors(at.output, **at.both), torch.zeros(64, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_pair_of_a_velocity_is_the_data_and_noise_that_it_connects(loss: Loss) -> None:
    at = Sample(loss)
    torch.testing.assert_close(loss.pair(at.velocity, at.x_t, at.t), (at.x_1, at.x_0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_estimates_of_any_output_lie_on_the_path(loss: Loss) -> None:
    at = Sample(loss)
    output = torch.randn(at.x_t.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x_1, x_0 = loss.data(output, at.x_t, at.t), loss.noise(output, at.x_t, at.t)
    torch.testing.assert_close(at.alpha * x_1 + at.sigma * x_0, at.x_t, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        loss.pair(loss.velocity(output, at.x_t, at.t), at.x_t, at.t), (x_1, x_0), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_min_snr_of_any_prediction_is_the_clipped_error_of_its_data(loss: Loss) -> None:
    at = Sample(loss)
    output = torch.randn(at.x_t.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wrong = (loss.data(output, at.x_t, at.t) - at.x_1).square().mean((1, 2, 3))
    expected = (at.alpha / at.sigma).square().clamp(max=5).flatten() * wrong
    found = replace(loss, weighting=MinSNR(gamma=5)).errors(output, **at.both)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_conversions_are_finite_at_both_ends_of_the_path(loss: Loss) -> None:
    t = torch.tensor([loss.path.start, loss.path.stop])
    x_t, output = torch.randn(2, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    shown = loss.inputs(x_t, t)
    found = [f(output, x_t, t) for f in (loss.data, loss.noise, loss.velocity, loss.score)]
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in (*shown, *found))
