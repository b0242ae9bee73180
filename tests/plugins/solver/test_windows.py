from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.command import main
from genever_plugins.path.linear import Linear
from genever_plugins.solver.ddim import DDIM
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.flow_sde import FlowSDE
from genever_plugins.solver.random_window import RandomWindow
from genever_plugins.solver.sliding_window import SlidingWindow
from torch import Tensor

WINDOWS = [
    RandomWindow(solver=FlowSDE(num_steps=8), size=2),
    SlidingWindow(solver=FlowSDE(num_steps=8), first=3, size=2),
]


@pytest.mark.parametrize("solver", WINDOWS, ids=str)
def test_window_is_noisy_within_and_euler_elsewhere(
    solver: Any, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field, x, twin = mixture(Linear()), noise, torch.Generator().manual_seed(1)
    for i in range(8):
        t = i / 8
        if i in solver.noisy_steps(0, seed=0):
            mean, std = FlowSDE(num_steps=8).step(field, x, i)
            x = mean + std * torch.randn(x.shape, generator=twin, dtype=x.dtype)
        else:
            x = x + field.velocity(x, t) / 8
    torch.testing.assert_close(solver(field, noise, generator=generator), x)


@pytest.mark.parametrize("solver", WINDOWS, ids=str)
def test_window_taken_without_noise_is_euler_to_the_bit(
    solver: Any, mixture: Any, noise: Tensor, generator: torch.Generator
) -> None:
    field, x = mixture(Linear()), noise
    for i in range(8):
        x, std = solver.step(field, x, i, noisy=False)
        assert float(std) == 0
    assert x.equal(Euler(num_steps=8)(field, noise, generator=generator))


def test_random_window_lies_anywhere_within_the_first_half() -> None:
    solver = RandomWindow(solver=FlowSDE(num_steps=10), size=3)
    windows = {tuple(solver.noisy_steps(step, seed=0)) for step in range(100)}
    assert windows == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}


def test_random_window_follows_from_seed_and_training_step_alone() -> None:
    def windows(seed: int) -> list[int]:
        solver = RandomWindow(solver=FlowSDE(num_steps=40))
        return [solver.noisy_steps(step, seed=seed)[0] for step in range(20)]

    assert windows(0) == windows(0) != windows(1)


def test_random_window_never_reaches_the_last_step() -> None:
    solver = RandomWindow(solver=FlowSDE(num_steps=4), size=1, within=1.0)
    assert {i for step in range(50) for i in solver.noisy_steps(step, seed=0)} == {0, 1, 2}


@pytest.mark.parametrize("window", [RandomWindow, SlidingWindow])
def test_window_of_a_solver_without_noise_has_none(window: Any) -> None:
    assert not window(solver=DDIM(num_steps=8, eta=0.0), size=2).noisy_steps(0, seed=0)
    assert window(solver=DDIM(num_steps=8, eta=0.5), size=2).noisy_steps(0, seed=0)


def test_sliding_window_moves_towards_data_and_returns() -> None:
    solver = SlidingWindow(solver=FlowSDE(num_steps=8), size=3, stride=2, every=2)
    windows = [list(solver.noisy_steps(step, seed=step)) for step in range(8)]
    first, second, third = [0, 1, 2], [2, 3, 4], [4, 5, 6]
    assert windows == [first, first, second, second, third, third, first, first]


def test_sliding_window_stays_where_it_is_asked_to() -> None:
    solver = SlidingWindow(solver=FlowSDE(num_steps=8), size=2, first=3, every=None)
    assert {tuple(solver.noisy_steps(step, seed=0)) for step in range(100)} == {(3, 4)}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: RandomWindow(solver=FlowSDE(num_steps=8), size=5),
            r"solver.RandomWindow.size = 5 does not fit into the 4 steps that solver.RandomWindow.within = 0.5 .* = 8 ",
        ),
        (
            lambda: RandomWindow(solver=FlowSDE(num_steps=3), size=3, within=1.0),
            r"size = 3 does not fit into the 2 steps .* the last is never noisy",
        ),
        (
            lambda: SlidingWindow(solver=FlowSDE(num_steps=8), size=4, first=4),
            r"solver.SlidingWindow.size = 4 steps from solver.SlidingWindow.first = 4 on do not fit .* num_steps = 8",
        ),
    ],
)
def test_window_outside_of_the_steps_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("window", ["RandomWindow", "SlidingWindow"])
def test_window_on_a_solver_without_probabilities_is_refused_at_check(
    window: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.gin"
    file.write_text(STAGE + f"train.solver = @{window}()\n{window}.solver = @Euler()\n")
    assert main(["check", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"solver.{window} needs a solver that provides 'log_probs', but solver.{window}.solver is solver.Euler" in said


STAGE = """
train.data        = @Digits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.steps       = 1
"""
