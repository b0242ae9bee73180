import math

import pytest
import torch
from genever.slots import Path
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from torch import Tensor

PATHS = [Linear(), VE(), VPCosine(), VPLinear()]


def inside(path: Path, num: int = 50) -> Tensor:
    return torch.linspace(path.start, path.stop, num, dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_path_states_the_derivatives_of_alpha_and_sigma(path: Path) -> None:
    t = inside(path).requires_grad_()
    (d_alpha,) = torch.autograd.grad((path.alpha(t) + 0 * t).sum(), t)
    (d_sigma,) = torch.autograd.grad(path.sigma(t).sum(), t)
    torch.testing.assert_close(path.d_alpha(t), d_alpha, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(path.d_sigma(t), d_sigma, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_path_goes_from_noise_to_data_and_is_finite_between(path: Path) -> None:
    t = inside(path).float()
    values = [f(t) for f in (path.alpha, path.sigma, path.d_alpha, path.d_sigma)]
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in values)
    snr = values[0].double() / values[1].double()
    assert (snr.diff() > 0).all()


@pytest.mark.parametrize("path", [VPLinear(), VPCosine(), VPLinear(beta_min=1, beta_max=5)], ids=str)
def test_variance_preserving_path_keeps_the_variance(path: Path) -> None:
    t = inside(path)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))


def test_linear_path_is_straight_between_its_ends() -> None:
    t = torch.tensor([0.0, 0.25, 1.0])
    assert Linear().alpha(t).tolist() == [0.0, 0.25, 1.0]
    assert Linear().sigma(t).tolist() == [1.0, 0.75, 0.0]


def test_vp_linear_is_the_limit_of_the_betas_of_ddpm() -> None:
    num = 100_000  # DDPM's are 1000 betas from 0.1 / 1000 to 20 / 1000.
    betas = torch.linspace(0.1, 20, num, dtype=torch.float64) / num
    t = 1 - torch.arange(1, num + 1, dtype=torch.float64) / num
    torch.testing.assert_close(VPLinear().alpha(t), torch.cumprod(1 - betas, 0).sqrt(), rtol=0, atol=2e-5)


def test_vp_cosine_is_the_published_schedule() -> None:
    s = torch.linspace(0.001, 0.999, 20, dtype=torch.float64)
    f = torch.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    torch.testing.assert_close(VPCosine().alpha(1 - s) ** 2, f)


def test_ve_path_falls_geometrically() -> None:
    sigma = VE(sigma_min=0.1, sigma_max=10).sigma(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(sigma, torch.tensor([10.0, 1.0, 0.1]))


def test_ve_path_rejects_noise_that_rises() -> None:
    with pytest.raises(ValueError, match=r"VE\.sigma_min = 2\.0 is not below VE\.sigma_max = 1\.0\. .* swap them"):
        VE(sigma_min=2.0, sigma_max=1.0)


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_path_says_whether_its_start_holds_any_signal(path: Path) -> None:
    signal = bool(path.alpha(torch.tensor(path.start)) > 0)
    assert ("signal_at_start" in type(path).provides) == signal
