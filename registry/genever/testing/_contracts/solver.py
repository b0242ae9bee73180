"""Solvers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyLoss
from genever.training import Field


def result_is_shaped_as_the_noise(case: Case) -> None:
    result = _solve(case, _towards_data)
    assert result.shape == _noise().shape
    assert result.dtype == torch.float32
    assert bool(result.isfinite().all())


def same_generator_gives_the_same_bits(case: Case) -> None:
    assert torch.equal(_solve(case, _wave, seed=1), _solve(case, _wave, seed=1))


def global_luck_is_left_alone(case: Case) -> None:
    with global_luck_untouched():
        _solve(case, _towards_data)


def constant_velocity_is_integrated_exactly(case: Case) -> None:
    first, second = (_solve(case, lambda x, t: torch.full_like(x, 0.5), seed=seed) for seed in (1, 2))
    if torch.equal(first, second):
        # It draws nothing, so it solves the ordinary differential equation.
        torch.testing.assert_close(first, _noise() + 0.5, rtol=1e-4, atol=1e-4)


def everything_flows_to_the_only_image(case: Case) -> None:
    away = (_solve(case, _towards_data) - 0.5).abs().mean()
    start = (_noise() - 0.5).abs().mean()
    assert float(away) < 0.1 * float(start), f"It ends {float(away):.3f} away on average, from {float(start):.3f}."


def gradient_flows_through(case: Case) -> None:
    noise = _noise().requires_grad_()
    _solve(case, _wave, noise=noise).sum().backward()
    assert noise.grad is not None
    assert bool(noise.grad.isfinite().all())
    assert float(noise.grad.abs().sum()) > 0


def noisy_steps_follow_from_seed_and_step(case: Case) -> None:
    if "log_probs" in case.surface.provides:
        first, second = ([_noisy(case, step) for step in range(50)] for _ in range(2))
        assert first == second
        solver = case.part()
        assert all(list(steps) == sorted({*steps} & {*range(solver.num_steps)}) for steps in first)


def steps_without_noise_follow_the_ordinary_differential_equation(case: Case) -> None:
    if "log_probs" in case.surface.provides:
        solver, x = case.part(), _noise()
        for i in range(solver.num_steps):
            x, std = solver.step(_field(lambda x, t: torch.full_like(x, 0.5)), x, i, noisy=False)
            assert float(std) == 0, f"Step {i} has noise without any."
        torch.testing.assert_close(x, _noise() + 0.5, rtol=1e-4, atol=1e-4)


def noisy_steps_have_probabilities(case: Case) -> None:
    if "log_probs" in case.surface.provides:
        solver = case.part()
        for i in {i for step in range(50) for i in _noisy(case, step)} - {solver.num_steps - 1}:
            mean, std = solver.step(_field(_wave), _noise(), i)
            assert float(std) > 0, f"Step {i} is noisy, but its standard deviation is 0."
            here, away = (solver.log_prob(mean + distance * std, mean, std) for distance in (0, 1))
            assert here.shape == (6,)
            assert bool((here > away).all()), "What is next to the mean is not the likeliest."


def probability_is_a_mean_over_dimensions(case: Case) -> None:
    if "log_probs" in case.surface.provides:
        mean, std = torch.zeros(6, 2, 4, 4), torch.tensor(0.5)
        once = case.part().log_prob(_noise(), mean, std)
        twice = case.part().log_prob(torch.cat([_noise()] * 2, 3), torch.cat([mean] * 2, 3), std)
        torch.testing.assert_close(once, twice)


def inputs_are_left_as_they_were(case: Case) -> None:
    noise = _noise()
    _solve(case, _towards_data, noise=noise)
    assert torch.equal(noise, _noise()), "It writes into the noise that it is given."


Velocity = Callable[[Tensor, Tensor], Tensor]


class _Network(nn.Module):
    def __init__(self, velocity: Velocity) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.velocity(x, t), ()


def _noise() -> Tensor:
    return torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))


def _towards_data(x: Tensor, t: Tensor) -> Tensor:
    """The velocity of a straight path whose only image is 0.5 everywhere."""
    return (0.5 - x) / (1 - t.view(-1, 1, 1, 1)).clamp_min(1e-3)


def _wave(x: Tensor, t: Tensor) -> Tensor:
    """A velocity under which nothing is forgotten."""
    return torch.sin(x) + t.view(-1, 1, 1, 1)


def _solve(case: Case, velocity: Velocity, *, seed: int = 0, noise: Tensor | None = None) -> Tensor:
    start = _noise() if noise is None else noise
    return case.part()(_field(velocity), start, generator=torch.Generator().manual_seed(seed))


def _field(velocity: Velocity) -> Field:
    return Field(_Network(velocity), ToyLoss(), torch.zeros(6, dtype=torch.int64))


def _noisy(case: Case, step: int) -> Sequence[int]:
    return case.part().noisy_steps(step, seed=0)
