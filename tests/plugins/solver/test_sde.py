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
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.flow_sde import FlowSDE
from scipy.stats import kstest
from torch import Tensor

PATHS = [Linear(), VPCosine(), VPLinear(), VE(sigma_min=0.01, sigma_max=20)]


@pytest.mark.parametrize(
    "solver",
    [Ancestral(num_steps=250), Ancestral(num_steps=250, variance="large"), DDIM(num_steps=250, eta=0.5)],
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


def test_flow_sde_without_noise_is_euler(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field = mixture(Linear())
    sde = FlowSDE(num_steps=9, noise_level=0.0, shift=2.0)(field, noise, generator=generator)
    torch.testing.assert_close(sde, Euler(num_steps=9, shift=2.0)(field, noise, generator=generator))


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
