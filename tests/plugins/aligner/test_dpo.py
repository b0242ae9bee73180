from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from genever.testing import take_steps
from genever_plugins.aligner.diffusion_dpo import DiffusionDPO
from genever_plugins.aligner.online_dpo import OnlineDPO
from genever_plugins.aligner.preference_loss import Errors, Pairs, best_and_worst, pair_losses, preference_unlikelihood
from genever_plugins.conditioner.classes import Classes
from genever_plugins.data.candidates import Candidates
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA

TUNERS = pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)])


@dataclass(frozen=True, kw_only=True)
class First:
    """What is good is the first channel."""

    factor: float = 1.0

    def build(self, composition):
        return lambda images, samples: self.factor * images[:, 0].flatten(1).mean(1)


def composed(toy, part=None, num=2, **parts):
    data = Candidates(data=parts.pop("points", toy.gaussian(num=512)), num=num, others="any")
    composition = toy.compose(data=data, aligner=part or DiffusionDPO(utility=First()), batch_size=32, **parts)
    return composition, composition.rounds()[0].start({})


def online(toy, **settings):
    parts = {name: settings.pop(name) for name in ("tuner", "accumulate", "batch_size") if name in settings}
    part = OnlineDPO(**{"reward": First(), "group_size": 8, "num_times": 2, **settings})
    composition = toy.compose(aligner=part, **{"batch_size": 32, **parts})
    return composition, composition.rounds()[0].start({})


def errors(better, worse):
    return Errors(better=torch.tensor([better]), worse=torch.tensor([worse]))


def moved(method, by=0.05):
    with torch.no_grad():
        for parameter in method.base.learns.values():
            parameter.add_(by)


def losses_of(composition, method, pairs, seen=None):
    batch = next(composition.feed())
    t = method.base.times(batch)
    given = {"base": method.base, "roles": method.roles, "x_0": batch.noise(), "t": t, "beta": 100.0}
    return pair_losses(pairs, **given, seen={} if seen is None else seen)["preference"]


def test_preference_is_the_logistic_loss_of_what_was_gained_on_the_reference():
    found, margin = preference_unlikelihood(errors(0.3, 0.9), errors(0.4, 0.8), beta=10.0)
    assert margin.item() == pytest.approx(-5 * ((0.3 - 0.4) - (0.9 - 0.8)))
    assert found.item() == pytest.approx(math.log(1 + math.exp(-1.0)), rel=1e-5)


def test_preference_costs_less_where_the_better_error_falls_or_the_worse_one_rises():
    reference = errors(0.5, 0.5)
    base, better, worse = (
        preference_unlikelihood(model, reference, 10.0)[0]
        for model in (errors(0.5, 0.5), errors(0.4, 0.5), errors(0.5, 0.6))
    )
    assert better < base
    assert worse < base


def test_preference_is_held_to_chance_as_beta_falls():
    found, _ = preference_unlikelihood(errors(0.0, 5.0), errors(2.0, 0.1), beta=1e-6)
    assert found.item() == pytest.approx(math.log(2), abs=1e-4)


def test_best_and_worst_are_found_and_equal_ones_do_not_differ():
    best, worst, differ = best_and_worst(torch.tensor([[1.0, 3, 2], [4, 0, 1], [2, 2, 2]]))
    assert best[:2].tolist() == [1, 0]
    assert worst[:2].tolist() == [0, 1]
    assert differ.tolist() == [True, True, False]


@TUNERS
def test_dpo_starts_at_chance(toy, tuner):
    composition, method = composed(toy, tuner=tuner)
    seen: dict[str, torch.Tensor] = {}
    found = method.losses(next(composition.feed()), seen)["preference"]
    assert found.item() == pytest.approx(math.log(2), rel=1e-6)
    assert (seen["margin"].item(), seen["implicit_accuracy"].item()) == (0.0, 0.5)
    assert torch.equal(seen["error_better"], seen["error_better_reference"])
    assert torch.equal(seen["error_worse"], seen["error_worse_reference"])


def test_dpo_first_gradient_is_that_of_the_difference_of_errors(toy):
    composition, method = composed(toy)
    batch, learns = next(composition.feed()), list(method.base.learns.values())
    found = torch.autograd.grad(method.losses(batch, {})["preference"], learns)
    pairs, t, x_0 = method.pairs(batch), method.base.times(batch), batch.noise()

    def error(x_1):
        x_t = method.base.corrupt(x_1, x_0, t)
        output, _ = method.roles["model"](x_t, t, pairs.cond)
        return (output - (x_1 - x_0)).square().flatten(1).mean(1)

    # The derivative of -log σ(margin) at 0 is -1/2, that of the margin in the errors' difference -beta / 2.
    wanted = torch.autograd.grad(100.0 / 4 * (error(pairs.better) - error(pairs.worse)).mean(), learns)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4) for a, b in zip(found, wanted, strict=True))


def test_dpo_gradient_turns_round_when_the_pair_is_swapped(toy):
    gradients = []
    for factor in (1.0, -1.0):
        composition, method = composed(toy, DiffusionDPO(utility=First(factor=factor)))
        found = method.losses(next(composition.feed()), {})["preference"]
        gradients.append(torch.autograd.grad(found, list(method.base.learns.values())))
    assert all(torch.allclose(a, -b, rtol=1e-3, atol=1e-4) for a, b in zip(*gradients, strict=True))


def test_dpo_implicit_accuracy_counts_ties_as_half(toy):
    composition, method = composed(toy)
    moved(method)
    pairs = method.pairs(next(composition.feed()))

    def accuracy(differ):
        losses_of(composition, method, replace(pairs, differ=differ), seen := {})
        return seen["implicit_accuracy"].item()

    some = torch.arange(32) < 8
    assert accuracy(some & ~some) == 0.5
    assert accuracy(some) + accuracy(~some) == accuracy(some | ~some) + 0.5
    assert accuracy(some | ~some) != 0.5


def test_dpo_of_two_equal_images_costs_log_2_wherever_the_model_is(toy):
    composition, method = composed(toy)
    moved(method)
    x_1 = next(composition.feed()).x_1
    same = Pairs(better=x_1, worse=x_1, differ=torch.ones(32, dtype=torch.bool), cond=next(composition.feed()).cond)
    assert losses_of(composition, method, same).item() == pytest.approx(math.log(2), rel=1e-6)


def test_dpo_pairs_that_are_equally_good_count_for_nothing(toy):
    composition, method = composed(toy, DiffusionDPO(utility=First(factor=0.0)))
    moved(method)
    assert method.losses(next(composition.feed()), {})["preference"].item() == 0.0


def test_dpo_takes_the_best_and_the_worst_of_several_candidates(toy):
    composition, method = composed(toy, num=4)
    batch = next(composition.feed())
    pairs, first = method.pairs(batch), batch.samples.candidates[:, :, 0, 0, 0]
    assert torch.equal(pairs.better[:, 0, 0, 0], first.amax(1))
    assert torch.equal(pairs.worse[:, 0, 0, 0], first.amin(1))


def test_dpo_takes_the_data_at_its_word_without_a_utility(toy):
    composition, method = composed(toy, DiffusionDPO(), num=3)
    batch = next(composition.feed())
    pairs = method.pairs(batch)
    assert torch.equal(pairs.better, batch.samples.candidates[:, 0])
    assert torch.equal(pairs.worse, batch.samples.candidates[:, 2])


def test_dpo_drops_the_condition_of_a_pair_as_training_does(toy):
    parts = {"points": toy.gaussian(num=512, num_classes=3), "conditioner": Classes(dropout=0.5)}
    composition, method = composed(toy, **parts)
    seen = []
    for role in ("model", "reference"):
        method.roles[role].register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    batch = next(composition.feed())
    method.losses(batch, {})
    for x_t, t, cond in seen:
        assert torch.equal(cond, batch.training_cond().repeat(2))
        assert torch.equal(t[:32], t[32:])
        assert len(x_t) == 64
    assert 0 < (batch.training_cond() == 3).sum() < 32


@TUNERS
def test_dpo_reference_stays_while_the_model_learns(toy, tuner):
    composition, method = composed(toy, tuner=tuner)
    batch = next(composition.feed())

    def reference():
        with torch.no_grad():
            return method.roles["reference"](batch.x_1, torch.full((32,), 0.5), batch.cond)[0]

    before = reference()
    seen = take_steps(method, composition, 5)
    assert torch.equal(reference(), before)
    assert seen["model/margin"][-1] != 0


def test_dpo_learns_what_is_preferred(toy):
    composition, method = composed(toy, DiffusionDPO(utility=First(), beta=20.0))
    base = toy.compose(batch_size=128)
    take_steps(base.rounds()[0].start({}), base, 200, rate=3e-3)
    for role in method.roles.values():
        role.load_state_dict(base.model.state_dict())
    seen = take_steps(method, composition, 60, rate=1e-3)
    assert sum(seen["model/implicit_accuracy"][-5:]) / 5 > 0.8
    assert seen["model/margin"][-1] > 0.5


def test_dpo_does_not_depend_on_how_the_batch_is_split(toy):
    margins = []
    for accumulate in (1, 2):
        composition, method = composed(toy, accumulate=accumulate)
        moved(method)
        found = take_steps(method, composition, 1)["model/margin"]
        margins.append(sum(found) / len(found))
    assert margins[0] == pytest.approx(margins[1], rel=1e-4)


def test_dpo_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    data = Candidates(data=toy.gaussian(num=512), others="any")
    parts = {"data": data, "aligner": DiffusionDPO(utility=First()), "tuner": LoRA(rank=4)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_online_dpo_learns_from_the_best_and_the_worst_that_the_model_sampled(toy):
    composition, method = online(toy)
    batch = next(composition.feed())
    groups = method.sampler(method.roles["model"], batch)
    pairs = method.pairs(batch, groups)
    assert groups.x_1.shape == (32, 8, 2, 1, 1)
    shown = groups.x_1[:, :, 0, 0, 0].clamp(-1, 1)  # of two that are white, either is the best
    assert torch.equal(pairs.better[:, 0, 0, 0].clamp(-1, 1), shown.amax(1))
    assert torch.equal(pairs.worse[:, 0, 0, 0].clamp(-1, 1), shown.amin(1))


def test_online_dpo_scores_images_as_they_are_decoded(toy):
    composition, method = online(toy)
    groups = method.sampler(method.roles["model"], next(composition.feed()))
    assert torch.equal(groups.rewards, groups.x_1[:, :, 0, 0, 0].clamp(-1, 1))


@TUNERS
def test_online_dpo_samples_what_evaluation_would(toy, tuner):
    composition, method = online(toy, tuner=tuner)
    batch = next(composition.feed())
    groups = method.sampler(method.roles["model"], batch)
    noise = batch.draws.normal("rollout noise", (8, 2, 1, 1))[0]
    cond = batch.cond[:1].repeat_interleave(8)
    with torch.no_grad():
        wanted = composition.solver(composition.field_of(composition.model, cond), noise, generator=torch.Generator())
    torch.testing.assert_close(groups.x_1[0], wanted)


def test_online_dpo_takes_one_optimizer_step_over_several_times(toy):
    composition, method = online(toy, accumulate=2)
    updates = list(method.updates(composition.feed(), 0))
    assert [update.step for update in updates] == [False, False, False, True]
    assert {update.scale for update in updates} == {1 / 4}


def test_online_dpo_rollouts_do_not_depend_on_how_the_batch_is_split(toy):
    rewards = []
    for accumulate in (1, 2):
        composition, method = online(toy, accumulate=accumulate)
        rewards.append(take_steps(method, composition, 1)["model/reward"])
    assert sum(rewards[0]) / len(rewards[0]) == pytest.approx(sum(rewards[1]) / len(rewards[1]), rel=1e-4)


@TUNERS
def test_online_dpo_reference_becomes_the_model_at_the_steps_that_were_said(toy, tuner):
    composition, method = online(toy, refresh_steps=3, tuner=tuner)
    seen = take_steps(method, composition, 8, rate=1e-3)
    assert method.frozen == frozenset()
    assert [step for step, margin in enumerate(seen["model/margin"][::2]) if margin == 0] == [0, 3, 6]


def test_online_dpo_refreshed_reference_is_the_model_to_the_bit(toy):
    composition, method = online(toy, refresh_steps=2)
    take_steps(method, composition, 2)
    reference = method.roles["reference"].state_dict()
    assert all(torch.equal(reference[name], value) for name, value in composition.model.state_dict().items())


@TUNERS
def test_online_dpo_without_refreshes_keeps_the_model_before_tuning(toy, tuner):
    composition, method = online(toy, refresh_steps=None, tuner=tuner)
    assert method.frozen == {"reference"}
    seen = take_steps(method, composition, 4)
    assert seen["model/margin"][0] == 0
    assert 0 not in seen["model/margin"][2:]


def test_online_dpo_raises_the_reward(toy):
    data = toy.gaussian((-0.3, 0.0), std=0.3)
    part = OnlineDPO(reward=First(), group_size=8, num_times=2, beta=20.0, refresh_steps=10)
    composition, base = toy.compose(data=data, aligner=part, batch_size=64), toy.compose(data=data, batch_size=128)
    take_steps(base.rounds()[0].start({}), base, 200, rate=3e-3)
    composition.model.load_state_dict(base.model.state_dict())
    method = composition.rounds()[0].start({})
    method.roles["reference"].load_state_dict(base.model.state_dict())
    reward = take_steps(method, composition, 30, rate=1e-3)["model/reward"]
    assert reward[0] == pytest.approx(-0.3, abs=0.1)
    assert reward[-1] > 0.0


def test_online_dpo_names_the_keys_where_groups_do_not_fit_the_batch(toy):
    message = r"train.batch_size = 32 in 1 parts .* aligner.OnlineDPO.group_size = 12 .* multiple of 12"
    with pytest.raises(ValueError, match=message):
        online(toy, group_size=12)


@TUNERS
@pytest.mark.parametrize("refresh_steps", [3, None])
def test_online_dpo_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, tuner, refresh_steps):
    part = OnlineDPO(reward=First(), group_size=8, num_times=2, refresh_steps=refresh_steps)
    parts = {"aligner": part, "tuner": tuner}
    for stop in (2, 3):
        whole, resumed = toy.trained(tmp_path / f"{stop}", **parts), toy.trained(tmp_path / f"{stop}", stop=stop, **parts)
        assert all(torch.equal(resumed[name], value) for name, value in whole.items())
