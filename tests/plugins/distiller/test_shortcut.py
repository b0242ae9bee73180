from __future__ import annotations

import pytest
import torch
from genever.testing import ToyConditioner, take_steps
from genever_plugins.average.constant import Constant
from genever_plugins.conditioner.end_time import EndTime
from genever_plugins.distiller.shortcut import Shortcut
from genever_plugins.sampler.uniform import Uniform
from torch import nn

END = EndTime(conditioner=ToyConditioner(dropout=0.0))
RATE = 1.5


class Exponential(nn.Module):
    """The mean velocity of dx/dt = rate · x, whose flow is x_s = x_t exp(rate (s - t))."""

    def forward(self, x, t, condition, taps=()):
        step = (condition.numbers["end_time"] - t).view(-1, 1, 1, 1)
        return torch.where(step == 0, RATE * x, x * torch.expm1(RATE * step) / step.where(step != 0, 1.0)), ()


def shortcut(**given):
    return Shortcut(**{"average": Constant(decay=0.9), **given})


def composed(toy, distiller, **parts):
    composition = toy.compose(distiller=distiller, **{"conditioner": END, "start": None, "sampler": Uniform(), **parts})
    return composition, composition.rounds()[0].start({})


def exact(toy, **given):
    composition, method = composed(toy, shortcut(**given))
    method.roles["target"].network = Exponential()
    return composition, method


def test_shortcut_identity_holds_on_the_exact_map(toy):
    composition, method = exact(toy, finest_steps=1024)
    batch = next(composition.feed())
    t, s = torch.rand(64) / 2, 0.5 + torch.rand(64) / 2
    wanted = batch.x_1 * (torch.expm1(RATE * (s - t)) / (s - t)).view(-1, 1, 1, 1)
    torch.testing.assert_close(method.two_steps(batch.x_1, t, s, batch.cond), wanted)


def test_finest_shortcut_is_two_steps_of_the_velocity(toy):
    composition, method = exact(toy, finest_steps=4)
    batch, t = next(composition.feed()), torch.zeros(64)
    found = method.two_steps(batch.x_1, t, t + 0.5, batch.cond)
    first = RATE * batch.x_1
    torch.testing.assert_close(found, (first + RATE * (batch.x_1 + 0.25 * first)) / 2)
    longer = method.two_steps(batch.x_1, t, t + 1.0, batch.cond)
    torch.testing.assert_close(longer, batch.x_1 * torch.tensor(RATE).expm1())


def test_shortcut_steps_begin_at_multiples_of_their_lengths(toy):
    composition, method = composed(toy, shortcut(share=1.0, finest_steps=16), batch_size=512)
    t, s = method.times(next(composition.feed()))
    lengths = s - t
    assert lengths.unique().tolist() == [0.125, 0.25, 0.5, 1.0]
    assert torch.equal((t / lengths).round(), t / lengths)
    assert s.max() == 1
    assert {tuple(one) for one in torch.stack([t, s], 1).tolist()} == {
        (k / n, (k + 1) / n) for n in (1, 2, 4, 8) for k in range(n)
    }


def test_shortcut_learns_the_velocity_of_the_other_samples(toy):
    composition, method = composed(toy, shortcut())
    batch = next(composition.feed())
    t, s = method.times(batch)
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    is_step, u = s > t, batch.x_1 - batch.noise()
    target = method.target(batch, x_t, t, s)
    assert is_step.sum() == 8
    assert torch.equal(target[~is_step], u[~is_step])
    assert not (target == u)[is_step].flatten(1).all(1).any()
    assert torch.equal(t[~is_step], method.base.times(batch)[~is_step])


def test_shortcut_target_gets_no_gradient_and_follows_the_model(toy):
    composition, method = composed(toy, shortcut(share=0.5))
    target, model = method.roles["target"].requires_grad_(True), composition.model
    before = {name: weight.clone() for name, weight in target.state_dict().items()}
    method.losses(next(composition.feed()), {})["loss"].backward()
    assert all(parameter.grad is None for parameter in target.parameters())
    assert all(parameter.grad is not None for parameter in model.parameters())
    take_steps(method, composition, 1)
    for name, weight in target.state_dict().items():
        torch.testing.assert_close(weight, 0.9 * before[name] + 0.1 * model.state_dict()[name])


def test_shortcut_reports_the_error_of_its_steps(toy):
    composition, method = composed(toy, shortcut(share=1.0))
    seen = {}
    assert method.losses(next(composition.feed()), seen)["loss"] == seen["step_error"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"finest_steps": 100}, r"Shortcut.finest_steps = 100 is no power of 2.* Choose one that is, such as 128"),
        ({"num_steps": 3}, r"Shortcut.num_steps = 3 asks for .* Choose one of 1, 2, 4, 8, 16, 32, 64, or more finest"),
        ({"num_steps": 8, "finest_steps": 8}, r"Shortcut.num_steps = 8 asks .* Choose one of 1, 2, 4, or more"),
    ],
)
def test_shortcut_steps_that_do_not_double_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        shortcut(**given)


def test_shortcut_target_is_asked_with_the_same_labels(toy):
    conditioner, data = EndTime(conditioner=ToyConditioner(dropout=0.5)), toy.gaussian(num_classes=3)
    composition, method = composed(toy, shortcut(share=1.0), conditioner=conditioner, data=data)
    seen = []
    method.roles["target"].network.register_forward_pre_hook(lambda module, given: seen.append(given[2].classes))
    batch = next(composition.feed())
    method.losses(batch, {})
    wanted = composition.conditioner(batch.training_cond()).classes
    assert len(seen) == 2
    assert all(torch.equal(one, wanted) for one in seen)
    assert 3 in wanted


def test_shortcut_without_a_step_in_a_small_batch_learns_the_velocity(toy):
    composition, method = composed(toy, shortcut(share=0.01), batch_size=8)
    batch = next(composition.feed())
    t, s = method.times(batch)
    target = method.target(batch, batch.x_1, t, s)
    assert (s == t).all()
    assert torch.equal(target, batch.x_1 - batch.noise())
