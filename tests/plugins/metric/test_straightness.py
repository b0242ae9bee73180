import pytest
import torch
from genever.training import Evaluation, Field
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.metric.straightness import Straightness, bend
from genever_plugins.path.linear import Linear
from genever_plugins.solver.euler import Euler
from torch import nn


class Velocity(nn.Module):
    """A model whose velocity is a function of x and t."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, t, cond, taps=()):
        return self.function(x, t.view(-1, 1, 1, 1)), ()


def field(function):
    return Field(Velocity(function), FlowMatching(path=Linear()), torch.zeros(8, dtype=torch.int64))


NOISE = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))


def test_straightness_of_a_constant_field_is_zero():
    assert torch.equal(bend(field(lambda x, t: torch.full_like(x, 3.0)), NOISE, 16), torch.zeros(8))


def test_straightness_of_a_field_that_follows_its_own_straight_lines_is_zero():
    # Every x goes to 2: v(x, t) = (2 - x) / (1 - t), whose paths are straight though v depends on x and t.
    bends = bend(field(lambda x, t: (2 - x) / (1 - t)), NOISE, 16)
    torch.testing.assert_close(bends, torch.zeros(8), atol=1e-8, rtol=0)


@pytest.mark.parametrize("num_steps", [64, 256])
def test_straightness_of_a_field_of_time_is_its_variance(num_steps):
    # v = a t: the mean is a / 2 and the variance a² / 12.
    bends = bend(field(lambda x, t: 6 * t + 0 * x), NOISE, num_steps)
    torch.testing.assert_close(bends, torch.full((8,), 36 / 12), atol=0, rtol=2 / num_steps**2)


def test_straightness_is_a_mean_over_dimensions():
    small, large = (bend(field(lambda x, t: t + 0 * x), torch.zeros(8, 1, side, side), 8) for side in (1, 8))
    torch.testing.assert_close(small, large)


def test_straightness_measures_the_model_of_an_evaluation(toy):
    composition = toy.compose()
    evaluation = Evaluation(
        composition=composition,
        model=Velocity(lambda x, t: 6 * t + 0 * x),
        solver=Euler(),
        guidance=None,
        num_samples=10,
    )
    found = Straightness(num_steps=64, num_samples=32).measure(evaluation)
    assert found == {"straightness": pytest.approx(3.0, rel=1e-3)}
