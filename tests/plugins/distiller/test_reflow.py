from __future__ import annotations

import copy
import functools
from dataclasses import replace

import pytest
import torch
from genever.testing import ToyBackbone, ToyEncoder, take_steps
from genever.training import Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.insta_flow import InstaFlow
from genever_plugins.distiller.perceptual import perceptual_distance
from genever_plugins.distiller.progressive import StudentSteps
from genever_plugins.distiller.reflow import Reflow
from genever_plugins.guidance.cfg import CFG
from genever_plugins.metric.straightness import bend
from genever_plugins.tuner.lora import LoRA
from torch import nn

REFLOW = Reflow(num_pairs=2048, teacher_steps=24)


def begun(composition, number=0, roles=None):
    """The method of a round, and that round, its pairs made."""
    round_ = composition.rounds()[number]
    method = round_.start(roles or {})
    round_.prepare(method)
    return method, round_


def noise(num=256, channels=2):
    return torch.randn(num, channels, 1, 1, generator=torch.Generator().manual_seed(0))


def field_of(composition, model):
    return Field(model, composition.loss, torch.zeros(256, dtype=torch.int64))


@functools.cache
def bent(toy):
    """Weights of a flow to a ring of modes, whose paths bend."""
    base = toy.compose(data=toy.modes(), batch_size=256)
    take_steps(base.rounds()[0].start({}), base, 400, rate=3e-3)
    return base.model.state_dict()


def taught(toy, distiller, spoil=lambda pairs: None):
    """A stage after 250 steps that begin with that flow as their teacher."""
    composition = toy.compose(distiller=distiller, start="fresh", data=toy.modes(), batch_size=256)
    for model in (composition.model, composition.teacher):
        model.load_state_dict(bent(toy))
    method, _ = begun(composition)
    spoil(method.roles["pairs"])
    take_steps(method, composition, 250, rate=2e-3)
    return composition


@torch.no_grad()
def solved(composition, model, num_steps):
    return StudentSteps(num_steps=num_steps)(field_of(composition, model), noise(), generator=torch.Generator())


@torch.no_grad()
def bent_by(composition, model):
    return float(bend(field_of(composition, model), noise(), 16).mean())


class Mixture(nn.Module):
    """The exact velocity of data on a line at -2 and 1, with standard deviation 0.3 and shares 0.4 and 0.6."""

    conditioner = None

    def forward(self, x, t, cond, taps=()):
        t = t.view(-1, 1, 1, 1, 1)
        means, shares = torch.tensor([-2.0, 1.0]), torch.tensor([0.4, 0.6])
        total, away = 0.09 * t**2 + (1 - t) ** 2, x.unsqueeze(-1) - t * means
        place = torch.softmax(shares.log() - away**2 / (2 * total), -1)
        return (place * (means + 0.09 * t / total * away - (1 - t) / total * away)).sum(-1), ()


def test_reflow_pairs_are_noise_and_where_the_ode_carries_it(toy):
    composition = toy.compose(distiller=Reflow(num_pairs=300, teacher_steps=5), start="fresh")
    pairs = begun(composition)[0].roles["pairs"]
    field = Field(composition.teacher, composition.loss, pairs.cond)
    wanted = StudentSteps(num_steps=5)(field, pairs.noise.float(), generator=torch.Generator())
    torch.testing.assert_close(pairs.data.float(), wanted, rtol=2e-3, atol=2e-3)
    assert abs(float(pairs.noise.float().std()) - 1) < 0.1
    assert pairs.cond.tolist() == composition.conditioner.prepare(composition.data.fetch(range(300))).tolist()


def test_reflow_step_draws_noise_and_data_of_the_same_pair(toy):
    composition = toy.compose(distiller=Reflow(num_pairs=50, teacher_steps=2), start="fresh")
    pairs = begun(composition)[0].roles["pairs"]
    pairs.data.copy_(pairs.noise + 1)
    x_0, batch = pairs.batch(next(composition.feed().at(0)), composition.conditioner)
    torch.testing.assert_close(batch.x_1, x_0 + 1, rtol=0, atol=2e-3)


def test_reflow_on_a_line_leaves_nothing_to_bend(toy):
    """Pairs of a flow on a line are in the same order at both ends, so no two straight paths between them ever meet."""
    composition = toy.compose(distiller=REFLOW, start="fresh", data=toy.gaussian(mean=(0.0,)))
    round_ = composition.rounds()[0]
    method = round_.start({})
    round_.prepare(replace(method, roles={**method.roles, "model": Mixture()}))
    x_0, order = method.roles["pairs"].noise.float().flatten().sort()
    x_1 = method.roles["pairs"].data.float().flatten()[order]
    assert all(bool((((1 - t) * x_0 + t * x_1).diff() >= -2e-3).all()) for t in (0.0, 0.3, 0.7, 1.0))
    assert abs(float((x_1 < -0.5).float().mean()) - 0.4) < 0.03


def test_reflow_straightens_and_one_step_leads_where_the_teacher_takes_many(toy):
    composition = taught(toy, REFLOW)
    model, teacher = composition.model, composition.teacher
    wanted = solved(composition, teacher, 24)
    assert bent_by(composition, model) < 0.3 * bent_by(composition, teacher)
    naive, student = ((solved(composition, one, 1) - wanted).square().mean() for one in (teacher, model))
    assert student < 0.3 * naive


def test_reflow_on_pairs_that_are_shuffled_straightens_nothing(toy):
    composition = taught(toy, REFLOW, lambda pairs: pairs.data.copy_(pairs.data.roll(1, 0)))
    assert bent_by(composition, composition.model) > 0.6 * bent_by(composition, composition.teacher)


def test_instaflow_takes_one_step_to_where_its_teacher_takes_many(toy):
    composition = taught(toy, InstaFlow(num_pairs=2048, teacher_steps=24))
    wanted, naive = (solved(composition, composition.teacher, steps) for steps in (24, 1))
    student = solved(composition, composition.model, 1)
    assert (student - wanted).square().mean() < 0.25 * (naive - wanted).square().mean()


def test_reflow_rounds_go_on_from_each_other_on_pairs_of_their_own(toy):
    composition = toy.compose(distiller=Reflow(num_rounds=2, num_pairs=40, teacher_steps=2), start="fresh")
    first, _ = begun(composition)
    take_steps(first, composition, 3)
    before = copy.deepcopy(first.roles["model"])
    second, round_ = begun(composition, 1, first.roles)
    pairs = second.roles["pairs"]
    field = Field(before, composition.loss, pairs.cond)
    wanted = StudentSteps(num_steps=2)(field, pairs.noise.float(), generator=torch.Generator())
    torch.testing.assert_close(pairs.data.float(), wanted, rtol=2e-3, atol=2e-3)
    assert not torch.equal(pairs.noise, first.roles["pairs"].noise)
    assert [one.name for one in composition.rounds()] == ["reflow_1", "reflow_2"]
    assert round_.solver is composition.solver


@pytest.mark.parametrize("kind", [Reflow, InstaFlow])
def test_guidance_is_folded_into_the_pairs_and_the_student_sampled_without(toy, kind):
    guidance, parts = CFG(scale=3.0), {"data": toy.gaussian(num_classes=3), "conditioner": Classes()}
    given = {"num_pairs": 20, "teacher_steps": 3}
    composition = toy.compose(distiller=kind(guidance=guidance, **given), start="fresh", guidance=CFG(scale=2.0), **parts)
    method, round_ = begun(composition)
    pairs = method.roles["pairs"]
    null = composition.conditioner.null(pairs.cond)
    field = Field(composition.teacher, composition.loss, pairs.cond, guidance=guidance, null=null)
    wanted = StudentSteps(num_steps=3)(field, pairs.noise.float(), generator=torch.Generator())
    torch.testing.assert_close(pairs.data.float(), wanted, rtol=2e-3, atol=2e-3)
    assert round_.guidance is None


@pytest.mark.parametrize(("guidance", "dropped"), [(None, True), (CFG(scale=2.0), False)])
def test_reflow_drops_conditions_where_its_student_is_to_be_guided(toy, guidance, dropped):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.5), "guidance": CFG(scale=2.0)}
    distiller = Reflow(num_pairs=20, teacher_steps=1, guidance=guidance)
    composition, seen = toy.compose(distiller=distiller, start="fresh", **parts), []
    method, round_ = begun(composition)
    composition.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[2]))
    take_steps(method, composition, 1)
    assert bool((torch.cat(seen) == 3).any()) == dropped
    assert (round_.guidance is not None) == dropped


@pytest.mark.parametrize(("l2_weight", "num_l2"), [(0.0, 2), (0.5, 4)])
def test_instaflow_learns_from_latents_first_and_then_from_features(toy, l2_weight, num_l2):
    given = {"warmup_steps": 2, "num_pairs": 20, "teacher_steps": 2}
    part = InstaFlow(encoder=ToyEncoder(), grid=1, l2_weight=l2_weight, **given)
    composition = toy.compose(distiller=part, start="fresh")
    seen = take_steps(begun(composition)[0], composition, 4)
    assert len(seen["model/perceptual"]) == 2
    assert len(seen["model/l2"]) == num_l2


def test_perceptual_distance_is_blind_to_the_length_of_features():
    features, other = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).unbind()
    torch.testing.assert_close(perceptual_distance(2 * features, 3 * features), torch.zeros(3), rtol=0, atol=1e-6)
    cosine = torch.cosine_similarity(features, other, dim=2)
    torch.testing.assert_close(perceptual_distance(features, other), 2 - 2 * cosine.mean(1))


@pytest.mark.parametrize("kind", [Reflow, InstaFlow])
def test_reflow_needs_a_start(toy, kind):
    with pytest.raises(ValueError, match=r"train.start is not set, but a teacher is needed"):
        toy.compose(distiller=kind()).rounds()


def test_reflow_stopped_and_resumed_inside_a_later_round_ends_with_the_same_bits(toy, tmp_path):
    distiller = Reflow(num_rounds=2, num_pairs=64, teacher_steps=2)
    parts = {"distiller": distiller, "start": "fresh", "tuner": LoRA(rank=2), "backbone": ToyBackbone()}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=6, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
