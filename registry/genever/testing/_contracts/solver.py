"""Solvers."""

from __future__ import annotations

from collections.abc import Callable

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
    field = Field(_Network(velocity), ToyLoss(), torch.zeros(6, dtype=torch.int64))
    start = _noise() if noise is None else noise
    return case.part()(field, start, generator=torch.Generator().manual_seed(seed))
