from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler  # pyright: ignore[reportPrivateImportUsage]
from genever.slots import Path
from genever.training import Field
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.dpm_solver import DPMSolver
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.heun import Heun
from scipy.stats import kstest
from torch import Tensor

PATHS = [Linear(), VPCosine(), VPLinear(), VE(sigma_min=0.01, sigma_max=20)]


def error(solver: Euler | Heun, field: Field, noise: Tensor, generator: torch.Generator) -> Tensor:
    exact = replace(solver, num_steps=1000)(field, noise, generator=generator)
    return (solver(field, noise, generator=generator) - exact).abs().mean()


@pytest.mark.parametrize(("solver", "order"), [(Euler(num_steps=64), 1), (Heun(num_steps=64), 2)])
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_solver_has_its_order(
    solver: Any, order: int, shift: float, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field, noise = mixture(Linear()), noise[:300]
    solver = replace(solver, shift=shift)
    ratio = error(solver, field, noise, generator) / error(replace(solver, num_steps=128), field, noise, generator)
    assert abs(ratio.log2() - order) < 0.2


@pytest.mark.parametrize("path", [VE(sigma_min=0.01, sigma_max=20), VPLinear()], ids=str)
def test_dpm_solver_has_order_two_where_the_path_ends_in_some_noise(
    path: Path, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field, noise = mixture(path), noise[:300]
    exact = Heun(num_steps=1000)(field, noise, generator=generator)
    few, many = (DPMSolver(num_steps=n)(field, noise, generator=generator) for n in (64, 128))
    assert abs(((few - exact).abs().mean() / (many - exact).abs().mean()).log2() - 2) < 0.2


@pytest.mark.parametrize(
    "solver", [Euler(num_steps=200), Heun(num_steps=40), DDIM(num_steps=100), DPMSolver(num_steps=60)], ids=str
)
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_solver_turns_noise_into_data_on_every_path(
    solver: Any, path: Path, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(path)
    x = solver(field, noise[:8000], generator=generator)
    assert kstest(x[:, 0].numpy(), field.below).statistic < 0.03


def test_one_euler_step_from_noise_is_the_mean_of_the_data(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    x = Euler(num_steps=1)(mixture(Linear()), noise, generator=generator)
    torch.testing.assert_close(x, torch.full_like(x, 0.4 * -2 + 0.6 * 1))


def test_ddim_on_the_straight_path_is_euler(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field = mixture(Linear())
    euler, ddim = (kind(num_steps=7, shift=3.0)(field, noise, generator=generator) for kind in (Euler, DDIM))
    torch.testing.assert_close(ddim, euler, rtol=1e-6, atol=1e-6)


def test_dpm_solver_in_one_step_is_ddim(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    one, ddim = (kind(num_steps=1)(mixture(VPCosine()), noise, generator=generator) for kind in (DPMSolver, DDIM))
    torch.testing.assert_close(one, ddim)


def test_dpm_solver_step_is_the_published_one(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    """As diffusers takes it, whose flow runs from sigma = 1 to 0, between the same noise levels."""

    class Late(Linear):
        start = 0.02

    field, num_steps = mixture(Late()), 8
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    scheduler.set_timesteps(num_steps)
    scheduler.sigmas = torch.linspace(0.98, 0, num_steps + 1, dtype=torch.float64)
    x = 0.98 * noise
    for sigma, t in zip(scheduler.sigmas[:-1], scheduler.timesteps, strict=True):
        x = scheduler.step(-field.velocity(x, 1 - sigma), t, x).prev_sample
    torch.testing.assert_close(DPMSolver(num_steps=num_steps)(field, noise, generator=generator), x, rtol=1e-4, atol=1e-4)


def test_dpm_solver_needs_fewer_evaluations_than_heun(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field, noise = mixture(Linear()), noise[:300]
    dpm, heun = (error(solver, field, noise, generator) for solver in (DPMSolver(num_steps=19), Heun(num_steps=10)))
    assert dpm < heun


def test_ddim_is_exact_for_a_single_point_of_data(generator: torch.Generator) -> None:
    class Point(Field):
        path = VPCosine()

        def __init__(self) -> None: ...

        def estimates(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
            x_1 = torch.full_like(x, 0.7)
            return x_1, (x - self.path.alpha(t) * x_1) / self.path.sigma(t)

    noise = torch.randn(5, 1, generator=generator)
    stop = torch.tensor(Point.path.stop)
    start = torch.tensor(Point.path.start)
    same = noise - Point.path.alpha(start) / Point.path.sigma(start) * 0.7
    expected = Point.path.alpha(stop) * 0.7 + Point.path.sigma(stop) * same
    torch.testing.assert_close(DDIM(num_steps=3)(Point(), noise, generator=generator), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_heun_evaluates_twice_in_every_step_but_the_last(
    num_steps: int, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field = mixture(Linear())
    Heun(num_steps=num_steps)(field, noise, generator=generator)
    assert field.evaluations == 2 * num_steps - 1


def test_shift_puts_steps_near_noise(generator: torch.Generator) -> None:
    class Clock(Field):
        path = Linear()

        def __init__(self) -> None: ...

        def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
            times.append(float(t))
            return x

    times: list[float] = []
    Euler(num_steps=4, shift=3.0)(Clock(), torch.zeros(1, 1), generator=generator)
    assert times == pytest.approx([u / (3 - 2 * u) for u in (0, 0.25, 0.5, 0.75)])


def test_time_reversed_returns_the_noise(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    field = mixture(Linear())

    class Reversed(Field):
        """The same field with t counted from data; it starts where the field ended."""

        path = Linear()

        def __init__(self) -> None: ...

        def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
            return -field.velocity(x, 1 - t)

    data = Heun(num_steps=200)(field, noise[:500], generator=generator)
    back = Heun(num_steps=200)(Reversed(), data, generator=generator)
    torch.testing.assert_close(back, noise[:500], rtol=0, atol=2e-3)


def test_clipped_ddim_never_leaves_the_range(mixture: Any, noise: Tensor, generator: torch.Generator) -> None:
    x = DDIM(num_steps=10, clip=0.5)(mixture(Linear()), noise, generator=generator)
    assert x.abs().max() <= 0.5 + 1e-6
