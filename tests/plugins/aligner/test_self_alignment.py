from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from genever.testing import ToyBackbone, ToyLoss, ToyPath, take_steps
from genever.training import named_parameters
from genever_plugins.aligner.self_alignment import SelfAlignment
from genever_plugins.average.constant import Constant
from genever_plugins.average.power import Power
from genever_plugins.tuner.lora import LoRA
from torch import nn


def sra(**settings):
    return SelfAlignment(**{"average": Constant(decay=0.75), "tap": 1, "teacher_tap": 3, **settings})


def composed(toy, aligner, **parts):
    composition = toy.compose(data=toy.gaussian(side=2, num_classes=3), aligner=aligner, **{"batch_size": 8, **parts})
    return composition, composition.rounds()[0].start({})


def moved(module, size=0.1):
    """Changes every weight a little, so that a teacher is not its student."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter += size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))


def smooth_l1(one, other, beta):
    apart = np.abs(one.detach().double().numpy() - other.detach().double().numpy())
    return np.where(apart < beta, apart**2 / (2 * beta), apart - beta / 2).mean()


@pytest.mark.parametrize("settings", [{}, {"max_offset": 0.5, "beta": 2.0, "weight": 0.7, "teacher_tap": 2}])
def test_self_alignment_term_compares_with_the_teacher_at_a_cleaner_time(toy, settings):
    part = sra(**settings)
    composition, method = composed(toy, part)
    moved(method.roles["teacher"])
    batch = next(composition.feed())
    x_0, x_1, t = batch.noise(), batch.x_1, method.times(batch)
    t = (t + part.max_offset * batch.draws.uniform("self-alignment offset")).clamp(max=1.0).view(-1, 1, 1, 1)
    given = (1 - t) * x_0 + t * x_1, t.flatten(), batch.training_cond()
    targets = method.roles["teacher"](*given, (part.teacher_tap,))[1][0]
    features = method.roles["head"](method.forward(batch, taps=(1,)).features[0])
    expected = part.weight * smooth_l1(features, targets, part.beta)
    assert method.losses(batch, 0)["self_alignment"].item() == pytest.approx(expected, rel=1e-5)


def test_self_alignment_teacher_sees_no_time_beyond_the_path(toy):
    composition, method = composed(toy, sra(max_offset=1.0), batch_size=64, loss=ToyLoss(path=ToyPath(stop=0.9)))
    seen = []
    method.roles["teacher"].register_forward_hook(lambda module, given, output: seen.append(given[1]))
    batch = next(composition.feed())
    method.losses(batch, 0)
    (t,) = seen
    assert t.max() == pytest.approx(0.9)
    assert (t >= method.times(batch)).all()


def test_self_alignment_teacher_follows_by_its_average(toy):
    _, method = composed(toy, sra())
    model, teacher = method.roles["model"], method.roles["teacher"]
    expected = {name: value.detach().double().clone() for name, value in model.named_parameters()}
    for step in range(3):
        moved(model)
        method.after("model", step)
        expected = {name: 0.75 * expected[name] + 0.25 * value.detach() for name, value in model.named_parameters()}
    for name, value in teacher.named_parameters():
        torch.testing.assert_close(value.double(), expected[name])


def test_self_alignment_teacher_asks_its_average_for_the_step(toy):
    _, method = composed(toy, sra(average=Power()))
    start = {name: value.clone() for name, value in method.roles["teacher"].state_dict().items()}
    moved(method.roles["model"])
    after = Power().decay_at(3)
    method.after("model", 3)
    for name, value in method.roles["model"].named_parameters():
        expected = after * start[name] + (1 - after) * value.detach()
        torch.testing.assert_close(method.roles["teacher"].get_parameter(name).detach(), expected)


def test_self_alignment_teacher_starts_as_the_model_and_lags_behind_it(toy):
    composition, method = composed(toy, sra())
    model, teacher = method.roles["model"], method.roles["teacher"]
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in model.state_dict().items())
    take_steps(method, composition, 3)
    assert all(not torch.equal(value, teacher.state_dict()[name]) for name, value in model.state_dict().items())


def test_self_alignment_teacher_neither_learns_nor_is_frozen(toy):
    _, method = composed(toy, sra())
    assert {name.split(".")[0] for name in method.groups()["model"]} == {"model", "head"}
    assert method.frozen == frozenset()
    assert {id(p) for p in method.roles["teacher"].parameters()}.isdisjoint(
        id(p) for p in named_parameters(method.roles, "model").values()
    )


def test_self_alignment_teacher_of_an_adapted_model_keeps_what_the_tuner_froze(toy):
    composition, method = composed(toy, sra(), tuner=LoRA(rank=2))
    before = {name: value.clone() for name, value in method.roles["teacher"].state_dict().items()}
    take_steps(method, composition, 3)
    changed = {name for name, value in method.roles["teacher"].state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name.removeprefix("model.") for name in method.learns}


@dataclass(frozen=True, kw_only=True)
class Dropping(ToyBackbone):
    """Its input is dropped in part, and counted."""

    def build(self, latent, condition):
        network = ToyBackbone.build(self, latent, condition)
        network.first = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(4, momentum=0.5), network.first)
        return network


def test_self_alignment_teacher_drops_nothing_and_takes_over_buffers(toy):
    composition, method = composed(toy, sra(), backbone=Dropping(depth=3, width=32))
    for module in method.roles.values():
        module.train()
    take_steps(method, composition, 3)
    assert not method.roles["teacher"].network.first[0].training
    assert method.roles["model"].network.first[0].training
    ours, theirs = (dict(method.roles[role].named_buffers()) for role in ("model", "teacher"))
    assert ours["network.first.1.num_batches_tracked"] == 3
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_self_alignment_at_weight_zero_leaves_the_teacher_alone(toy):
    _, method = composed(toy, sra(weight=0.0))
    before = {name: value.clone() for name, value in method.roles["teacher"].state_dict().items()}
    moved(method.roles["model"])
    method.after("model", 0)
    assert all(torch.equal(value, before[name]) for name, value in method.roles["teacher"].state_dict().items())


def test_self_alignment_offset_is_luck_of_its_own(toy):
    composition, method = composed(toy, sra())
    batch = next(composition.feed())
    found = method.losses(batch, 0)["self_alignment"]
    assert torch.equal(method.losses(batch, 0)["self_alignment"], found)
    other = replace(batch, draws=replace(batch.draws, key=(5,)))
    assert not torch.equal(method.losses(other, 0)["self_alignment"], found)


def test_self_alignment_training_brings_features_closer(toy):
    composition, method = composed(toy, sra(weight=1.0, average=Constant(decay=0.99)))
    seen = take_steps(method, composition, 60, rate=3e-3)["model/self_alignment"]
    assert seen[-1] < 0.5 * seen[0]


def test_self_alignment_refuses_a_teacher_shallower_than_its_student():
    with pytest.raises(ValueError, match=r"teacher_tap = 1 is shallower than aligner\.SelfAlignment\.tap = 2\. Choose 2"):
        sra(tap=2, teacher_tap=1)


def test_self_alignment_refuses_a_teacher_tap_that_is_no_block(toy):
    with pytest.raises(ValueError, match=r"aligner\.SelfAlignment\.teacher_tap = 4 is not a block .*one of 1 \.\. 3"):
        composed(toy, sra(teacher_tap=4))
