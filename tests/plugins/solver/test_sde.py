import math
from typing import Any

import pytest
import torch
from genever.slots import Path
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.solver.ancestral import Ancestral
from genever_plugins.solver.annealed_langevin import AnnealedLangevin
from genever_plugins.solver.constant_sde import ConstantSDE
from genever_plugins.solver.cps import CPS
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.euler_maruyama import EulerMaruyama
from genever_plugins.solver.flow_sde import FlowSDE
from genever_plugins.solver.random_window import RandomWindow
from genever_plugins.solver.sliding_window import SlidingWindow
from scipy.stats import ks_2samp, kstest
from torch import Tensor

PATHS = [Linear(), VPCosine(), VPLinear(), VE(sigma_min=0.01, sigma_max=20)]


@pytest.mark.parametrize(
    "solver",
    [
        Ancestral(num_steps=250),
        Ancestral(num_steps=250, variance="large"),
        AnnealedLangevin(num_levels=120, num_steps=4),
        DDIM(num_steps=250, eta=0.5),
        EulerMaruyama(num_steps=250),
        EulerMaruyama(num_steps=250, diffusion="forward"),
        EulerMaruyama(num_steps=250, diffusion="sigma_squared", strength=3.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_stochastic_solver_turns_noise_into_data_on_every_path(
    solver: Any, path: Path, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(path)
    x = solver(field, noise[:8000], generator=generator)
    assert kstest(x[:, 0].numpy(), field.below).statistic < 0.03


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_ancestral_is_ddim_with_all_its_noise(path: Path, mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field = mixture(path)
    twin = torch.Generator().manual_seed(1)
    ancestral = Ancestral(num_steps=20)(field, noise[:100], generator=generator)
    ddim = DDIM(num_steps=20, eta=1.0)(field, noise[:100], generator=twin)
    # The one takes the mean of the last step, the other draws it.
    torch.testing.assert_close(ancestral, ddim, rtol=0, atol=5 * float(path.sigma(torch.tensor(path.stop))) + 1e-4)


@pytest.mark.parametrize(("num_steps", "tolerance"), [(400, 0.012), (10, 0.06)])
def test_flow_sde_keeps_the_marginals_of_the_ode(
    num_steps: int, tolerance: float, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(Linear())
    x = FlowSDE(num_steps=num_steps)(field, noise, generator=generator)
    assert kstest(x[:, 0].numpy(), field.below).statistic < tolerance


@pytest.mark.parametrize(
    "solver",
    [
        ConstantSDE(num_steps=200),
        ConstantSDE(num_steps=200, eta=1.0),
        DDIM(num_steps=200, eta=1.0),
        EulerMaruyama(num_steps=200, diffusion="constant", strength=0.5),
        RandomWindow(solver=FlowSDE(num_steps=200), size=60),
        SlidingWindow(solver=ConstantSDE(num_steps=200, eta=1.0), first=100, size=50),
    ],
    ids=str,
)
def test_solver_of_an_sde_keeps_the_marginals_of_the_ode(
    solver: Any, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(Linear())
    x = solver(field, noise[:8000], generator=generator)
    assert kstest(x[:, 0].numpy(), field.below).statistic < 0.025


@pytest.mark.parametrize("num_steps", [20, 100, 200])
def test_cps_does_not_keep_the_marginals_however_many_steps_there_are(
    num_steps: int, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(Linear())
    x = CPS(num_steps=num_steps)(field, noise[:8000], generator=generator)
    assert kstest(x[:, 0].numpy(), field.below).statistic > 0.05
    assert float(x[x > -0.5].std()) < 0.25  # Data around 1 has a standard deviation of 0.3.


@pytest.mark.parametrize(
    "solver",
    [
        FlowSDE(num_steps=9, noise_level=0.0, shift=2.0),
        ConstantSDE(num_steps=9, eta=0.0, shift=2.0),
        CPS(num_steps=9, noise_level=0.0, shift=2.0),
        DDIM(num_steps=9, eta=0.0, shift=2.0),
    ],
    ids=str,
)
def test_solver_without_noise_is_euler_and_has_no_noisy_step(
    solver: Any, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(Linear())
    euler = Euler(num_steps=9, shift=2.0)(field, noise, generator=generator)
    torch.testing.assert_close(solver(field, noise, generator=generator), euler, rtol=1e-5, atol=1e-6)
    assert not solver.noisy_steps(0, seed=0)


@pytest.mark.parametrize("diffusion", ["constant", "sigma", "forward"])
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_euler_maruyama_without_strength_is_euler(
    diffusion: Any, path: Path, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(path)
    x = EulerMaruyama(num_steps=9, strength=0.0, diffusion=diffusion)(field, noise[:100], generator=generator)
    euler = Euler(num_steps=9)(field, noise[:100], generator=generator)
    last = 3 * float(path.sigma(torch.tensor(path.start + (path.stop - path.start) * 8 / 9)))
    torch.testing.assert_close(x, euler, rtol=1e-5, atol=1e-5 if isinstance(path, Linear) else last)


def test_euler_maruyama_in_its_sigma_is_constant_sde_where_both_are_constant(mixture: Any, noise: Tensor) -> None:
    """w = eta² / 2."""
    field, twins = mixture(Linear()), [torch.Generator().manual_seed(1) for _ in range(2)]
    x = EulerMaruyama(num_steps=9, strength=0.08, diffusion="constant")(field, noise, generator=twins[0])
    torch.testing.assert_close(x, ConstantSDE(num_steps=9, eta=0.4)(field, noise, generator=twins[1]), rtol=1e-4, atol=1e-4)


def test_langevin_steps_at_one_level_stay_in_its_distribution(mixture: Any, noise: Tensor) -> None:
    field, solver, t = mixture(Linear()), AnnealedLangevin(rate=0.02), torch.tensor(0.6)
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(noise.shape, generator=generator, dtype=noise.dtype)
    x = start = 0.6 * Ancestral(num_steps=200)(field, noise, generator=generator) + 0.4 * drawn
    for _ in range(100):
        x = solver._step(field, x, t, torch.randn(x.shape, generator=generator, dtype=x.dtype))
    assert ks_2samp(x[:, 0].numpy(), start[:, 0].numpy()).statistic < 0.025
    assert (x - start).std() > 0.3


def test_constant_sde_step_is_the_published_one(mixture: Any, noise: Tensor) -> None:
    """In DanceGRPO's own terms: sigma = 1 - t, dsigma < 0, velocity from data to noise."""
    field, i, eta = mixture(Linear()), 4, 0.3
    sigma, dsigma = 0.6, -0.1
    v = -field.velocity(noise, 1 - sigma)
    score = -(noise - (noise - sigma * v) * (1 - sigma)) / sigma**2
    found, std = ConstantSDE(num_steps=10, eta=eta).step(field, noise, i)
    torch.testing.assert_close(found, noise + dsigma * v - eta**2 / 2 * score * dsigma, rtol=1e-5, atol=1e-5)
    assert float(std) == pytest.approx(eta * math.sqrt(-dsigma), rel=1e-5)


def test_cps_step_and_probability_are_the_published_ones(mixture: Any, noise: Tensor) -> None:
    """In the authors' terms: sigma = 1 - t, velocity from data to noise, noise of sigma' sin(noise_level pi / 2)."""
    field, solver, i = mixture(Linear()), CPS(num_steps=10, noise_level=0.8), 4
    sigma, after = 0.6, 0.5
    v, spread = -field.velocity(noise, 1 - sigma), after * math.sin(0.4 * math.pi)
    mean = (noise - sigma * v) * (1 - after) + (noise + v * (1 - sigma)) * math.sqrt(after**2 - spread**2)
    found, std = solver.step(field, noise, i)
    torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-5)
    assert float(std) == pytest.approx(spread, rel=1e-5)
    images = noise[:12].view(2, 3, 1, 2)
    log_prob = solver.log_prob(images, torch.full_like(images, 0.5), std)
    torch.testing.assert_close(log_prob, -((images - 0.5) ** 2).mean((1, 2, 3)).float())


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_ddim_repeats_itself_step_by_step(path: Path, mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field, solver, twin = mixture(path), DDIM(num_steps=6, eta=1.0), torch.Generator().manual_seed(1)
    x = path.sigma(torch.tensor(path.start)) * noise
    for i in range(6):
        mean, std = solver.step(field, x, i)
        x = mean + std * torch.randn(x.shape, generator=twin, dtype=x.dtype)
    assert x.equal(solver(field, noise, generator=generator))


def test_flow_sde_step_is_the_published_one(mixture: Any, noise: Tensor) -> None:
    """In Flow-GRPO's own terms: sigma = 1 - t, dt < 0, velocity from data to noise."""
    field, solver, i = mixture(Linear()), FlowSDE(num_steps=10, noise_level=0.7), 4
    x, sigma, after = noise, 0.6, 0.5
    level, dt, v = 0.7 * math.sqrt(sigma / (1 - sigma)), after - sigma, -field.velocity(x, 1 - sigma)
    mean = x * (1 + level**2 / (2 * sigma) * dt) + v * (1 + level**2 * (1 - sigma) / (2 * sigma)) * dt
    found, std = solver.step(field, x, i)
    torch.testing.assert_close(found, mean, rtol=1e-5, atol=1e-5)
    assert float(std) == pytest.approx(level * math.sqrt(-dt), rel=1e-5)


def test_flow_sde_first_step_counts_as_the_second_time(mixture: Any, noise: Tensor) -> None:
    _, std = FlowSDE(num_steps=10, noise_level=0.7).step(mixture(Linear()), noise, 0)
    assert float(std) == pytest.approx(0.7 * math.sqrt(1 / 0.1) * math.sqrt(0.1), rel=1e-5)


def test_flow_sde_probability_is_a_mean_over_dimensions_in_float32(noise: Tensor) -> None:
    x_next, mean = noise[:6].view(2, 3, 1, 1).bfloat16(), torch.zeros(2, 3, 1, 1)
    found = FlowSDE().log_prob(x_next, mean, torch.tensor(0.5))
    expected = torch.distributions.Normal(mean, 0.5).log_prob(x_next.float()).mean((1, 2, 3))
    torch.testing.assert_close(found, expected)
    assert found.dtype == torch.float32


def test_flow_sde_repeats_itself_step_by_step(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field, solver, twin = mixture(Linear()), FlowSDE(num_steps=6), torch.Generator().manual_seed(1)
    x = noise
    for i in range(6):
        mean, std = solver.step(field, x, i)
        x = mean if i == 5 else mean + std * torch.randn(x.shape, generator=twin, dtype=x.dtype)
    assert x.equal(solver(field, noise, generator=generator))


def test_flow_sde_times_run_from_noise_to_data() -> None:
    torch.testing.assert_close(FlowSDE(num_steps=4).times(), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
