from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from genever.testing import ToyCodec, take_steps
from genever.training import normal_of_numbers
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.ladd import LADD
from genever_plugins.guidance.cfg import CFG
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.sampler.uniform import Uniform


def distilled(toy, distiller=None, **parts):
    given = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.5), **parts}
    composition = toy.compose(distiller=distiller or LADD(head_width=16), start="fresh", **given)
    (round_,) = composition.rounds()
    method = round_.start({})
    if round_.prepare is not None:
        round_.prepare(method)
    for head in method.roles["discriminator"].heads.values():
        torch.nn.init.normal_(head.last.weight, std=0.1)
    return composition, method


def learn(method, group, losses, batch):
    """The roles that got a gradient, as the trainer freezes all but the group."""
    learning = {id(p) for p in method.groups()[group].values()}
    for module in method.roles.values():
        for parameter in module.parameters():
            parameter.requires_grad_(id(parameter) in learning)
    sum(losses(batch).values()).backward()
    return {role for role, module in method.roles.items() if any(p.grad is not None for p in module.parameters())}


@dataclass(frozen=True, kw_only=True)
class Undecodable(ToyCodec):
    """Its latents cannot be decoded."""

    def build(self, data):
        module = ToyCodec.build(self, data)
        module.decode = lambda latents: pytest.fail("latents were decoded")
        return module


@pytest.mark.parametrize("num_synthetic", [0, 6])
def test_ladd_never_leaves_latent_space(toy, num_synthetic):
    composition, method = distilled(toy, LADD(num_synthetic=num_synthetic, head_width=16), codec=Undecodable())
    seen = take_steps(method, composition, 1)
    assert {"discriminator/adversarial", "model/adversarial"} <= set(seen)
    with pytest.raises(pytest.fail.Exception):
        composition.codec.decode(next(composition.feed()).x_1)


def test_ladd_student_learns_through_its_frozen_teacher(toy):
    composition, method = distilled(toy)
    assert learn(method, "model", method.student_losses, next(composition.feed())) == {"model"}


def test_ladd_student_learns_from_the_teachers_features_and_nothing_else(toy):
    composition, method = distilled(toy)
    teacher, batch = method.roles["teacher"], next(composition.feed())
    teacher.register_forward_hook(lambda module, inputs, output: (output[0], tuple(one.detach() for one in output[1])))
    learning = list(method.groups()["model"].values())
    found = torch.autograd.grad(method.student_losses(batch)["adversarial"], learning, allow_unused=True)
    assert found == (None,) * len(learning)


@pytest.mark.parametrize("noise", [None, 0.1])
def test_ladd_discriminator_learns_alone(toy, noise):
    composition, method = distilled(toy, LADD(head_width=16, r1_weight=1.0, r1_noise=noise))
    assert learn(method, "discriminator", method.discriminator_losses, next(composition.feed())) == {"discriminator"}


def test_ladd_penalises_the_slope_at_real_samples(toy):
    composition, method = distilled(toy, LADD(head_width=16, r1_weight=3.0))
    batch = next(composition.feed())
    t = method.levels(batch)
    features = tuple(one.detach().requires_grad_() for one in method.features(batch.x_1, "real noise", batch, t))
    slopes = torch.autograd.grad(method.judge(features, t)[0].mean(1).sum(), features)
    wanted = 1.5 * sum(one.square().sum((1, 2)) for one in slopes).mean()
    torch.testing.assert_close(method.discriminator_losses(batch)["r1"], wanted)


def test_ladd_without_a_penalty_has_none(toy):
    composition, method = distilled(toy, LADD(head_width=16, r1_weight=0))
    assert set(method.discriminator_losses(next(composition.feed()))) == {"adversarial"}


def test_ladd_levels_prefer_noise_unless_a_sampler_says_otherwise(toy):
    composition, method = distilled(toy, batch_size=4096)
    levels = method.levels(next(composition.feed()))
    logits = torch.logit(levels)
    assert (logits.mean().item(), logits.std().item()) == pytest.approx((-1.0, 1.0), abs=0.06)
    composition, method = distilled(toy, LADD(sampler=Uniform(), head_width=16), batch_size=4096)
    assert method.levels(next(composition.feed())).mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("taps", "wanted"), [(None, (1, 2, 3)), ((3, 1), (3, 1))])
def test_ladd_has_a_head_for_each_tap(toy, taps, wanted):
    composition, method = distilled(toy, LADD(taps=taps, head_width=16))
    batch = next(composition.feed())
    seen = method.features(batch.x_1, "real noise", batch, method.levels(batch))
    assert (method.taps, len(seen), len(method.roles["discriminator"].heads)) == (wanted, len(wanted), len(wanted))


def test_ladd_refuses_a_block_that_is_not_there(toy):
    with pytest.raises(ValueError, match=r"distiller.LADD.taps: 9 is not a block of this backbone.* Choose among 1 .. 3"):
        distilled(toy, LADD(taps=(1, 9)))


def test_ladd_synthetic_samples_are_the_teachers_own(toy):
    guidance = CFG(scale=2.0)
    composition, method = distilled(toy, LADD(num_synthetic=300, synthetic_guidance=guidance, head_width=16))
    made, labels = method.roles["synthetic"], torch.arange(300) % 3
    noise = normal_of_numbers(0, range(300), "synthetic noise", (2, 1, 1), torch.device("cpu"))
    field = composition.field_of(composition.teacher, labels, guidance)
    with torch.no_grad():
        wanted = composition.solver(field, noise, generator=torch.Generator())
    assert torch.equal(made.cond, labels)
    torch.testing.assert_close(made.latents.float(), wanted, rtol=2e-3, atol=2e-3)


def test_ladd_learns_from_synthetic_samples_alone(toy):
    composition, method = distilled(toy, LADD(num_synthetic=5, head_width=16))
    batch = next(composition.feed())
    learned, made = method.learned_from(batch), method.roles["synthetic"]
    rows = [(made.latents.float() == one).flatten(1).all(1).nonzero().item() for one in learned.x_1]
    assert torch.equal(learned.cond, made.cond[rows])
    other = replace(batch, x_1=batch.x_1 + 1, cond=batch.cond.flip(0))
    assert method.discriminator_losses(batch) == method.discriminator_losses(other)


def test_ladd_student_is_shown_nothing_of_the_data_at_the_first_time_of_any_path(toy):
    path = VPLinear()
    composition, method = distilled(toy, loss=FlowMatching(path=path))
    batch, seen = next(composition.feed()), []
    composition.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[:2]))
    assert method.sample(batch).isfinite().all()
    ((x_t, t),) = seen
    first, start = t == path.start, torch.tensor(path.start)
    assert path.alpha(start) > 1e-3
    torch.testing.assert_close(x_t[first], path.sigma(start) * batch.noise()[first], rtol=0, atol=1e-6)
