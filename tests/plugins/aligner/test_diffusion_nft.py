from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from genever.testing import take_steps
from genever_plugins.aligner.diffusion_nft import DiffusionNFT, branches, normalised_error, optimality
from genever_plugins.average.constant import Constant
from genever_plugins.average.ramp import Ramp
from genever_plugins.conditioner.classes import Classes
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA

TUNERS = pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])


@dataclass(frozen=True, kw_only=True)
class First:
    """What is good is the first channel, or nothing."""

    factor: float = 1.0

    def build(self, composition):
        return lambda images, samples: self.factor * images[:, 0].flatten(1).mean(1)


def composed(toy, part=None, **parts):
    part = part or nft()
    composition = toy.compose(aligner=part, **{"batch_size": 32, **parts})
    return composition, composition.rounds()[0].start({})


def nft(**settings):
    return DiffusionNFT(**{"reward": First(), "average": Ramp(), "group_size": 8, "num_times": 2, **settings})


def rollout(composition, method):
    (batch,) = [next(composition.feed())]
    return batch, method.sampler(method.roles["old"], batch)


def gradients(method, terms):
    return torch.autograd.grad(sum(terms.values()), list(method.base.learns.values()))


def test_branches_are_the_old_estimate_where_the_model_is_the_old_policy():
    x = torch.randn(4, 2, 1, 1)
    for branch in branches(x, x, 0.3):
        torch.testing.assert_close(branch, x)


@pytest.mark.parametrize("beta", [0.1, 1.0, 2.0])
def test_branches_have_their_fixed_point_where_the_paper_says(beta):
    generator = torch.Generator().manual_seed(0)
    y, r = torch.randn(1000, 3, generator=generator), torch.rand(1000, 1, generator=generator)
    old = y.mean(0)  # The old policy is right on average.
    wanted = old + 2 / beta * (r * (y - old)).mean(0)
    x = wanted.clone().requires_grad_()
    positive, negative = branches(x, old, beta)
    (r * (positive - y).square() + (1 - r) * (negative - y).square()).mean().backward()
    torch.testing.assert_close(x.grad, torch.zeros(3), atol=1e-5, rtol=0)


def test_optimality_is_between_0_and_1_and_a_half_where_all_are_equal():
    rewards = torch.tensor([[0.0] * 99 + [1.0], [0.5] * 100, [1.0] * 99 + [0.0]])
    found = optimality(rewards, 5.0)
    assert found[0, -1] == 1.0
    assert torch.equal(found[1], torch.full((100,), 0.5))
    assert found[2, -1] == 0.0


def test_normalised_error_is_the_mean_absolute_error_of_errors_that_are_alike():
    x, x_1 = torch.full((2, 1, 2, 2), 3.0, requires_grad=True), torch.ones(2, 1, 2, 2)
    error = normalised_error(x, x_1)
    torch.testing.assert_close(error, torch.full((2,), 2.0))
    error.sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x_1, 2 * 2 / 4 / 2))  # 2 (x - x_1) / num / w


def test_nft_loss_is_that_of_velocities(toy):
    composition, method = composed(toy, nft(beta=0.5, kl_weight=0.1))
    take_steps(method, composition, 3)
    batch, groups = rollout(composition, method)
    found = method.losses(batch, groups, 1, {})
    x_1, x_0, t = groups.x_1.flatten(0, 1), method.noise(batch, 1), method.times(batch, 1)
    wide = t.view(-1, 1, 1, 1)
    x_t, cond = (1 - wide) * x_0 + wide * x_1, batch.cond.repeat_interleave(8)
    v, v_old, v_reference = (method.roles[role](x_t, t, cond)[0] for role in ("model", "old", "reference"))
    r = (
        (
            (groups.rewards - groups.rewards.mean(1, keepdim=True))
            / (groups.rewards.std(1, unbiased=False, keepdim=True) + 1e-4)
        )
        / 10
        + 0.5
    ).flatten()
    positive, negative = x_t + (1 - wide) * (0.5 * v + 0.5 * v_old), x_t + (1 - wide) * (1.5 * v_old - 0.5 * v)
    errors = [(x - x_1).square().mean((1, 2, 3)) / (x - x_1).abs().mean((1, 2, 3)) for x in (positive, negative)]
    torch.testing.assert_close(found["policy"], 5 / 0.5 * (r * errors[0] + (1 - r) * errors[1]).mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["kl"], 0.1 * (v - v_reference).square().mean(), rtol=1e-4, atol=1e-6)


@TUNERS
def test_nft_with_a_constant_reward_leaves_the_model_as_the_old_policy(toy, tuner):
    sizes = []
    for factor in (0.0, 1.0):
        composition, method = composed(toy, nft(reward=First(factor=factor)), tuner=tuner)
        terms = method.losses(*rollout(composition, method), 0, {})
        sizes.append(max(gradient.abs().max().item() for gradient in gradients(method, terms)))
    assert sizes[0] < 1e-5
    assert sizes[1] > 1e-3


def test_nft_with_a_constant_reward_draws_the_model_back_to_the_old_policy(toy):
    composition, method = composed(toy, nft(reward=First(factor=0.0), average=Constant(decay=0.99), kl_weight=0.0))
    with torch.no_grad():
        for parameter in method.base.learns.values():
            parameter.add_(0.02)
    seen = take_steps(method, composition, 30, rate=2e-3)["model/distance_to_old"]
    assert seen[-1] < seen[0] / 4


@TUNERS
def test_nft_first_step_is_on_policy_and_the_reference_is_the_model(toy, tuner):
    composition, method = composed(toy, tuner=tuner)
    seen = take_steps(method, composition, 3)
    assert seen["model/distance_to_old"][:2] == [0.0, 0.0]
    assert seen["model/distance_to_reference"][:2] == [0.0, 0.0]
    assert seen["model/distance_to_reference"][-1] > 0


def test_nft_samples_of_the_old_policy(toy):
    composition, method = composed(toy)
    with torch.no_grad():
        for parameter in method.roles["model"].parameters():
            parameter.add_(1.0)
    (update, *_) = method.updates(composition.feed(), 0)
    other, same = composed(toy)
    wanted = take_steps(same, other, 1)["model/reward"][0]
    update.loss()
    assert update.report()["reward"].item() == pytest.approx(wanted, rel=1e-5)


@TUNERS
def test_nft_old_policy_follows_by_its_average(toy, tuner):
    composition, method = composed(toy, nft(average=Constant(decay=0.75)), tuner=tuner)
    learned = [name.removeprefix("model.") for name in method.base.learns]
    before = {name: method.roles["old"].state_dict()[name].clone() for name in learned}
    take_steps(method, composition, 1)
    model, old = method.roles["model"].state_dict(), method.roles["old"].state_dict()
    for name in learned:
        torch.testing.assert_close(old[name], 0.75 * before[name] + 0.25 * model[name])


def test_nft_old_policy_is_the_model_after_a_step_whose_decay_is_0(toy):
    composition, method = composed(toy)
    take_steps(method, composition, 1)
    old = method.roles["old"].state_dict()
    assert all(torch.equal(old[name], value) for name, value in composition.model.state_dict().items())


def test_nft_keeps_no_reference_without_its_weight(toy):
    _, method = composed(toy, nft(kl_weight=0.0))
    assert set(method.roles) == {"model", "old"}
    assert method.frozen == frozenset()


@pytest.mark.parametrize("loss", [FlowMatching(path=Linear()), EDM(path=Linear())])
def test_nft_learns_under_any_prediction(toy, loss):
    composition, method = composed(toy, loss=loss)
    seen = take_steps(method, composition, 3)
    assert seen["model/distance_to_old"][-1] > 0


def test_nft_tells_the_model_the_whole_condition(toy):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.9)}
    composition, method = composed(toy, **parts)
    batch, groups = rollout(composition, method)
    seen = []
    for role in method.roles.values():
        role.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    method.losses(batch, groups, 0, {})
    assert len(seen) == 3
    assert all(torch.equal(cond, batch.cond.repeat_interleave(8)) for cond in seen)


def test_nft_does_not_depend_on_how_the_batch_is_split(toy):
    terms = []
    for accumulate in (1, 2):
        composition, method = composed(toy, accumulate=accumulate)
        found = take_steps(method, composition, 1)["model/policy"]
        terms.append(sum(found) / len(found))
    assert terms[0] == pytest.approx(terms[1], rel=1e-4)


def test_nft_takes_one_optimizer_step_over_several_times(toy):
    composition, method = composed(toy, nft(num_times=3), accumulate=2)
    updates = list(method.updates(composition.feed(), 0))
    assert [update.step for update in updates] == [False] * 5 + [True]
    assert {update.scale for update in updates} == {1 / 6}


def test_nft_raises_the_reward(toy):
    data = toy.gaussian((-0.3, 0.0), std=0.3)
    base = toy.compose(data=data, batch_size=128)
    take_steps(base.rounds()[0].start({}), base, 200, rate=3e-3)
    composition, method = composed(toy, data=data, batch_size=64)
    for role in method.roles.values():
        role.load_state_dict(base.model.state_dict())
    reward = take_steps(method, composition, 30, rate=1e-3)["model/reward"]
    assert reward[0] == pytest.approx(-0.3, abs=0.1)
    assert reward[-1] > 0.0


def test_nft_names_the_keys_where_groups_do_not_fit_the_batch(toy):
    message = r"train.batch_size = 32 in 2 parts .* aligner.DiffusionNFT.group_size = 12 .* multiple of 24"
    with pytest.raises(ValueError, match=message):
        composed(toy, nft(group_size=12), accumulate=2)


def test_nft_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"aligner": nft(average=Constant(decay=0.5)), "tuner": LoRA(rank=4)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
