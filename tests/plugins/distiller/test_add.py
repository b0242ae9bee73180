from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.testing import ToyData, ToyEncoder
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.add import ADD
from genever_plugins.distiller.few_steps import noised_data, step_times
from genever_plugins.guidance.cfg import CFG


def distilled(toy, **given):
    parts = {"data": toy.gaussian(num_classes=3, side=4), "conditioner": Classes(dropout=0.5)}
    distiller = ADD(**{"encoder": ToyEncoder(), "grid": 2, "head_width": 16, **given})
    composition = toy.compose(distiller=distiller, start="fresh", **parts)
    method = composition.rounds()[0].start({})
    torch.nn.init.normal_(method.roles["discriminator"].heads["head_1"].last.weight, std=0.1)
    return composition, method


def only_learns(method, group):
    learning = {id(p) for p in method.groups()[group].values()}
    for module in method.roles.values():
        for parameter in module.parameters():
            parameter.requires_grad_(id(parameter) in learning)


def touched(method):
    return {role for role, module in method.roles.items() if any(p.grad is not None for p in module.parameters())}


@pytest.mark.parametrize("term", ["adversarial", "distillation"])
def test_add_student_learns_through_frozen_networks_and_they_do_not(toy, term):
    composition, method = distilled(toy, guidance=CFG(scale=2.0))
    only_learns(method, "model")
    method.student_losses(next(composition.feed()))[term].backward()
    assert touched(method) == {"model"}
    assert sum(p.grad.abs().sum() for p in method.roles["model"].parameters() if p.grad is not None) > 0


def test_add_discriminator_learns_alone(toy):
    composition, method = distilled(toy)
    only_learns(method, "discriminator")
    sum(method.discriminator_losses(next(composition.feed())).values()).backward()
    assert touched(method) == {"discriminator"}


def test_add_learns_in_turn_from_batches_of_their_own(toy, monkeypatch):
    composition, method = distilled(toy, discriminator_updates=2)
    noises = []
    for name in ("discriminator_losses", "student_losses"):
        monkeypatch.setattr(
            type(method), name, lambda self, batch: noises.append(batch.noise()) or {"loss": torch.zeros(())}
        )
    updates = [update.group for update in method.updates(composition.feed(), 0) if update.loss()]
    assert updates == ["discriminator", "discriminator", "model"]
    assert len({tuple(noise.flatten().tolist()) for noise in noises}) == 3


def test_add_gradient_of_the_adversarial_term_comes_through_the_codec_and_the_encoder(toy):
    composition, method = distilled(toy, num_steps=1)
    batch = next(composition.feed())
    x = method.sample(batch).detach().requires_grad_()
    logits, _ = method.judge(method.features(x), batch)
    (found,) = torch.autograd.grad(-logits.mean(), x)
    direct = x.detach().clone().requires_grad_()
    condition = method.roles["conditioner"](batch.cond)
    features = method.roles["encoder"](composition.codec.decode(direct))
    (-method.roles["discriminator"]((features,), None, condition)[0].mean()).backward()
    torch.testing.assert_close(found, direct.grad)
    assert found.abs().sum() > 0


def test_add_distillation_is_the_weighted_error_against_what_the_teacher_makes_of_the_sample(toy):
    composition, method = distilled(toy, distil_weight=3.0)
    batch = next(composition.feed())
    x = method.sample(batch).detach()
    t = (0.02 + 0.96 * batch.draws.uniform("distillation time")).view(-1, 1, 1, 1)
    x_t = t * x + (1 - t) * batch.noise("distillation noise")
    velocity = composition.teacher(x_t, t.flatten(), batch.cond)[0]
    wanted = 3.0 * (t * (x - x_t - (1 - t) * velocity).square()).mean()
    torch.testing.assert_close(method.disagreement(x, batch), wanted)


def test_student_is_shown_noise_alone_at_its_first_time_and_data_at_the_others(toy):
    composition, method = distilled(toy)
    batch = next(composition.feed())
    x_t, t = noised_data(method.base, batch, step_times(composition.loss.path, 4, torch.device("cpu")))
    other, _ = noised_data(method.base, replace(batch, x_1=batch.x_1 + 1), step_times(composition.loss.path, 4, t.device))
    assert sorted(t.unique().tolist()) == [0.0, 0.25, 0.5, 0.75]
    assert torch.equal(x_t[t == 0], batch.noise()[t == 0])
    torch.testing.assert_close((other - x_t).mean((1, 2, 3)), t)


def test_add_heads_are_told_the_condition(toy):
    composition, method = distilled(toy)
    batch = next(composition.feed())
    torch.nn.init.normal_(method.roles["discriminator"].heads["head_1"].modulation.weight)
    features = method.seen(batch.images)
    one, other = (method.judge(features, each)[0] for each in (batch, replace(batch, cond=batch.null)))
    assert not torch.allclose(one, other)


def test_add_refuses_images_of_several_sizes(toy, monkeypatch):
    composition = toy.compose(distiller=ADD(encoder=ToyEncoder()), start="fresh", data=ToyData())
    monkeypatch.setattr(type(composition), "sizes", [(4, 4), (4, 8)])
    with pytest.raises(
        ValueError, match=r"distiller.ADD shows an encoder images of one size, but train.data = ToyData has 2"
    ):
        composition.rounds()
