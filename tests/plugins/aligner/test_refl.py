from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from genever.command import main
from genever.testing import take_steps
from genever_plugins.aligner.refl import ReFL
from genever_plugins.conditioner.classes import Classes
from genever_plugins.tuner.lora import LoRA
from torch import nn

CHECKED = """
train.data        = @Shapes()
train.conditioner = @conditioner.Text()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @Uniform()
train.steps       = 1
train.aligner     = @ReFL()
ReFL.reward       = @VerifiedCaption()
"""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """The sum of an image's values, each times a number: its slope is those numbers, beyond black and white too."""

    slopes: tuple[float, float] = (2.0, -1.0)

    def build(self, composition):
        slopes = torch.tensor(self.slopes).view(1, 2, 1, 1)
        return lambda images, samples: (images * slopes).flatten(1).sum(1)


class Recorded(nn.Module):
    """A denoiser whose velocities are parameters of their own, one for each call."""

    def __init__(self, num=64):
        super().__init__()
        self.calls = nn.ParameterList(nn.Parameter(torch.full((2, 1, 1), 0.1 * i)) for i in range(num))
        self.times = []

    def forward(self, x, t, cond, taps=()):
        velocity = self.calls[len(self.times)]
        self.times.append(t)
        return velocity.expand_as(x), ()


def refl(**settings):
    return ReFL(**{"reward": Linear(), "num_steps": 8, "first_step": 6, "threshold": None, "weight": 1.0, **settings})


def composed(toy, part, **parts):
    composition = toy.compose(aligner=part, **{"batch_size": 32, **parts})
    return composition, composition.rounds()[0].start({})


def recorded(toy, part):
    """The method around a recorded model, a batch of it, and the state before the step that it learns from."""
    composition, method = composed(toy, part)
    model = Recorded()
    method = replace(method, base=replace(method.base, roles={"model": model}))
    batch = next(composition.feed())
    return method, model, batch, *method.rollout(batch)


def test_refl_of_a_linear_reward_has_the_gradient_of_one_step(toy):
    method, model, batch, x, t = recorded(toy, refl())
    method.feedback(batch, x, t, {})["feedback"].backward()
    last = len(model.times) - 1
    # x̂_1 = x + (1 - t) v, so that -r has the slope -(1 - t) w in v.
    torch.testing.assert_close(model.calls[last].grad.flatten(), -(1 - t) * torch.tensor([2.0, -1.0]))


def test_refl_lets_no_gradient_into_earlier_steps(toy):
    method, model, batch, x, t = recorded(toy, refl())
    assert not x.requires_grad
    method.feedback(batch, x, t, {})["feedback"].backward()
    called = len(model.times)
    assert called in (7, 8)
    assert [i for i, one in enumerate(model.calls) if one.grad is not None] == [called - 1]


def test_refl_rollout_is_euler_on_an_even_grid(toy):
    _, model, batch, x, t = recorded(toy, refl())
    num = len(model.times)
    assert t.item() == pytest.approx(num / 8)
    assert [round(times[0].item() * 8, 5) for times in model.times] == list(range(num))
    wanted = batch.noise("rollout noise") + sum(0.1 * i for i in range(num)) / 8
    torch.testing.assert_close(x, wanted)


def test_refl_takes_every_late_step_at_some_time_and_no_other(toy):
    composition, method = composed(toy, refl(num_steps=8, first_step=5), batch_size=4)
    steps = [round(method.rollout(next(composition.feed().at(step)))[1].item() * 8) for step in range(40)]
    assert set(steps) == {5, 6, 7}


def test_refl_takes_the_same_step_for_all_parts_of_a_batch(toy):
    composition, method = composed(toy, refl(first_step=0), accumulate=4)
    for step in range(5):
        feed = composition.feed().at(step)
        assert len({method.rollout(next(feed))[1].item() for _ in range(4)}) == 1


def test_refl_threshold_is_where_the_reward_has_no_slope(toy):
    _, method = composed(toy, refl())
    batch = next(composed(toy, refl())[0].feed())
    x, t = method.rollout(batch)
    seen = {}
    plain = method.feedback(batch, x, t, seen)["feedback"]
    assert plain.item() == pytest.approx(-seen["reward"].item(), rel=1e-5)
    low, high = (
        replace(method, part=refl(threshold=threshold, weight=0.5)).feedback(batch, x, t, {})["feedback"]
        for threshold in (-1e3, 1e3)
    )
    assert low.item() == 0.0
    assert high.item() == pytest.approx(0.5 * (1e3 - seen["reward"].item()), rel=1e-5)


def test_refl_adds_the_base_loss_by_its_weight(toy):
    composition, method = composed(toy, refl(base_weight=0.5))
    plain = toy.compose(batch_size=32)
    found = take_steps(method, composition, 1)["model/loss"]
    assert found[0] == pytest.approx(0.5 * take_steps(plain.rounds()[0].start({}), plain, 1)["model/loss"][0], rel=1e-5)


@pytest.mark.parametrize(("base_weight", "steps"), [(1.0, [False, False, False, True]), (0.0, [False, True])])
def test_refl_takes_one_optimizer_step_over_all_its_gradients(toy, base_weight, steps):
    composition, method = composed(toy, refl(base_weight=base_weight), accumulate=2)
    updates = list(method.updates(composition.feed(), 0))
    assert [update.step for update in updates] == steps
    assert {update.scale for update in updates} == {1 / 2}


def test_refl_shows_the_reward_the_whole_condition(toy):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.9)}
    composition, method = composed(toy, refl(base_weight=0.0), **parts)
    seen = []
    method.base.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    batch = next(composition.feed())
    method.feedback(batch, *method.rollout(batch), {})
    assert all(torch.equal(cond, batch.cond) for cond in seen)
    assert not torch.equal(batch.training_cond(), batch.cond)


def test_refl_does_not_depend_on_how_the_batch_is_split(toy):
    rewards = []
    for accumulate in (1, 2):
        composition, method = composed(toy, refl(), accumulate=accumulate)
        found = take_steps(method, composition, 1)["model/reward"]
        rewards.append(sum(found) / len(found))
    assert rewards[0] == pytest.approx(rewards[1], rel=1e-4)


def test_refl_raises_the_reward(toy):
    composition, method = composed(toy, refl(base_weight=0.0))
    reward = take_steps(method, composition, 30, rate=3e-3)["model/reward"]
    assert reward[-1] > reward[0] + 1


def test_refl_is_held_back_by_the_base_loss(toy):
    base = toy.compose(batch_size=128)
    take_steps(base.rounds()[0].start({}), base, 200, rate=3e-3)
    ends = []
    for base_weight in (0.0, 30.0):
        composition, method = composed(toy, refl(base_weight=base_weight))
        composition.model.load_state_dict(base.model.state_dict())
        ends.append(take_steps(method, composition, 30, rate=3e-3)["model/reward"][-1])
    assert ends[1] < ends[0] - 0.5


def test_refl_refuses_a_step_that_its_grid_does_not_have():
    with pytest.raises(
        ValueError, match=r"aligner.ReFL.first_step = 8 is not a step .*aligner.ReFL.num_steps = 8. Choose one of 0 .. 7"
    ):
        refl(first_step=8)


def test_refl_of_a_reward_without_a_gradient_is_refused_before_it_runs(
    tmp_path, monkeypatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.gin").write_text(CHECKED)
    assert main(["check", "x.gin"]) == 2
    assert (
        "aligner.ReFL needs a reward that provides 'differentiable', but aligner.ReFL.reward is" in capsys.readouterr().err
    )


@pytest.mark.parametrize("base_weight", [0.0, 1.0])
def test_refl_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, base_weight):
    parts = {"aligner": refl(base_weight=base_weight), "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
