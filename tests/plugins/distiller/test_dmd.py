from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from genever.testing import ToyBackbone, take_steps
from genever.training import Feed, Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.dmd import DMD, matching_gradient, surrogate
from genever_plugins.distiller.dmd2 import DMD2
from genever_plugins.distiller.few_steps import Renoising
from genever_plugins.distiller.scm import SCM
from genever_plugins.guidance.cfg import CFG
from genever_plugins.solver.euler import Euler
from genever_plugins.tuner.lora import LoRA
from torch import nn


class Gaussian(nn.Module):
    """The exact velocity towards N(mean, std²) on the straight path."""

    def __init__(self, mean, std: float = 1.0) -> None:
        super().__init__()
        self.mean, self.std = torch.tensor(mean).view(1, -1, 1, 1), std

    def forward(self, x, t, cond, taps=()):
        t = t.view(-1, 1, 1, 1)
        data = self.mean + t * self.std**2 / ((t * self.std) ** 2 + (1 - t) ** 2) * (x - t * self.mean)
        return (data - x) / (1 - t), ()


def distilled(toy, distiller=None, **parts):
    composition = toy.compose(distiller=distiller or DMD(critic_updates=2), start="fresh", **parts)
    return composition, composition.rounds()[0].start({})


def one_gradient(composition, method, teacher, critic, x):
    method = replace(method, roles={**method.roles, "teacher": teacher, "critic": critic})
    return method.gradient(x, next(composition.feed()))


def points(num=64):
    return torch.randn(num, 2, 1, 1, generator=torch.Generator().manual_seed(0))


def test_dmd_gradient_between_gaussians_points_along_the_difference_of_their_means(toy):
    composition, method = distilled(toy)
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0])
    x = points() + fake.view(-1, 1, 1)
    found = one_gradient(composition, method, Gaussian(real.tolist()), Gaussian(fake.tolist()), x).flatten(1)
    along = found @ (fake - real) / (fake - real).norm()
    torch.testing.assert_close(along, found.norm(dim=1))
    assert along.min() > 0


def test_dmd_gradient_has_its_closed_form_on_gaussians(toy):
    composition, method = distilled(toy)
    batch, x = next(composition.feed()), points()
    t = (0.02 + 0.96 * batch.draws.uniform("matching time")).view(-1, 1, 1, 1)
    x_t = t * x + (1 - t) * batch.noise("matching noise")
    variance = t**2 + (1 - t) ** 2
    real_mean, fake_mean = torch.tensor([2.0, -1.0]).view(-1, 1, 1), torch.zeros(2, 1, 1)
    real = real_mean + t / variance * (x_t - t * real_mean)
    wanted = (fake_mean - real_mean) * (1 - t) ** 2 / variance / (x - real).abs().mean((1, 2, 3), keepdim=True)
    found = one_gradient(composition, method, Gaussian([2.0, -1.0]), Gaussian([0.0, 0.0]), x)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_dmd_gradient_is_0_where_critic_and_teacher_agree(toy):
    composition, method = distilled(toy)
    assert not one_gradient(composition, method, Gaussian([1.0, 2.0]), Gaussian([1.0, 2.0]), points()).any()


def test_matching_gradient_does_not_depend_on_the_scale_of_the_data():
    x, real, fake = points(), points().flip(0), points().roll(1, 0)
    torch.testing.assert_close(matching_gradient(1000 * x, 1000 * real, 1000 * fake), matching_gradient(x, real, fake))


def test_matching_gradient_is_0_where_the_sample_is_the_teachers_estimate():
    x, fake = points(), points().roll(1, 0)
    assert not matching_gradient(x, x.clone(), fake).isnan().any()
    assert not matching_gradient(x, x.clone(), fake).any()


def test_surrogate_gives_the_gradient_divided_by_the_number_of_elements():
    x, gradient = points().requires_grad_(), points().flip(0)
    (found,) = torch.autograd.grad(surrogate(x, gradient), x)
    torch.testing.assert_close(found, gradient / x.numel())


def test_dmd_updates_the_critic_more_often_than_the_student_with_luck_of_their_own(toy, monkeypatch):
    composition, method = distilled(toy, DMD(critic_updates=3), accumulate=2)
    batches, draw = [], Feed.__next__
    monkeypatch.setattr(Feed, "__next__", lambda feed: batches.append(draw(feed)) or batches[-1])
    groups = [(update.group, update.step) for update in method.updates(composition.feed(), 0)]
    assert groups == [("critic", False), ("critic", True)] * 3 + [("model", False), ("model", True)]
    noises = {tuple(batch.noise().flatten().tolist()) for batch in batches}
    assert len(noises) == len(groups)


@pytest.mark.parametrize("tuner", [None, LoRA(rank=2)])
def test_dmd_leaves_every_other_network_alone(toy, tuner):
    composition, method = distilled(toy, **({"tuner": tuner} if tuner else {}))
    batch, groups = next(composition.feed()), method.groups()
    for group, losses in (("critic", method.critic_losses), ("model", method.student_losses)):
        for role, module in method.roles.items():
            module.zero_grad()
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(f"{role}.{name}" in groups[group])
        sum(losses(batch).values()).backward()
        touched = {role for role, module in method.roles.items() if any(p.grad is not None for p in module.parameters())}
        assert touched == {group}


def test_dmd_critic_learns_what_the_tuner_lets_the_student_learn(toy):
    _, method = distilled(toy, tuner=LoRA(rank=2))
    groups = method.groups()
    assert {name.partition(".")[2] for name in groups["critic"]} == {name.partition(".")[2] for name in groups["model"]}
    assert all(".lora_" in name for name in groups["critic"])
    assert not {id(p) for p in groups["critic"].values()} & {id(p) for p in groups["model"].values()}


def test_dmd_samples_as_it_trains_in_one_step_unguided(toy):
    composition = toy.compose(distiller=DMD(), start="fresh", guidance=CFG(scale=2.0))
    (round_,) = composition.rounds()
    method, batch = round_.start({}), next(composition.feed())
    field, generator = Field(composition.model, composition.loss, batch.cond), torch.Generator()
    found = round_.solver(field, batch.noise(), generator=generator)
    assert round_.guidance is None
    assert round_.solver == Renoising(num_steps=1)
    assert torch.equal(found, method.sample(batch))
    torch.testing.assert_close(found, Euler(num_steps=1)(field, batch.noise(), generator=generator))


def test_dmd_guides_the_teacher_alone(toy):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.5)}
    composition, method = distilled(toy, DMD(guidance=CFG(scale=3.0)), **parts)
    sizes = {role: set() for role in method.roles}
    for role, module in method.roles.items():
        module.register_forward_pre_hook(lambda module, inputs, role=role: sizes[role].add(len(inputs[0])))
    take_steps(method, composition, 1)
    assert sizes == {"model": {64}, "teacher": {128}, "critic": {64}}


@functools.cache
def four_modes(toy):
    """A stage of four modes and the weights of a teacher of them."""
    parts = {"data": toy.modes(4, std=0.3), "batch_size": 128, "backbone": ToyBackbone(width=32, depth=4)}
    base = toy.compose(**parts)
    take_steps(base.rounds()[0].start({}), base, 600, rate=3e-3)
    return parts, base.model.state_dict()


def student_of_modes(toy, distiller, num_steps):
    """Samples of a student before it has learned, and after."""
    parts, weights = four_modes(toy)
    composition = toy.compose(**parts, distiller=distiller, start="fresh")
    for model in (composition.model, composition.teacher):
        model.load_state_dict(weights)
    (round_,) = composition.rounds()
    noise = torch.randn(1000, 2, 1, 1, generator=torch.Generator().manual_seed(2))
    field = Field(composition.model, composition.loss, torch.zeros(1000, dtype=torch.int64))
    before = round_.solver(field, noise, generator=torch.Generator())
    take_steps(round_.start({}), composition, num_steps, rate={"model": 5e-4, "critic": 1e-3})
    return before, round_.solver(field, noise, generator=torch.Generator())


def test_dmd_one_step_generator_reaches_every_mode(toy):
    before, after = student_of_modes(toy, DMD(critic_updates=2), 400)
    assert spread(before)[0] < 0.05
    near, rarest = spread(after)
    assert near > 0.6  # The teacher in 4 steps: 0.75. A smooth map from one blob must leave some between the modes.
    assert rarest > 0.1


def test_dmd_without_the_fake_score_collapses(toy):
    _, after = student_of_modes(toy, DMD(fake_score=False), 200)
    near, rarest = spread(after)
    assert near > 0.6
    assert rarest == 0


@torch.no_grad()
def spread(x):
    """The share of samples near a mode, and that of the rarest mode."""
    angle = torch.arange(4) * torch.pi / 2
    distance, mode = torch.cdist(x.flatten(1), 2 * torch.stack([angle.cos(), angle.sin()], dim=1)).min(1)
    return (distance < 0.9).float().mean(), torch.bincount(mode, minlength=4).min() / len(x)


def test_dmd_without_the_fake_score_follows_the_teacher_alone(toy):
    composition, method = distilled(toy, DMD(fake_score=False))
    batch, x = next(composition.feed()), points()
    t = 0.02 + 0.96 * batch.draws.uniform("matching time")
    x_t = method.base.corrupt(x, batch.noise("matching noise"), t)
    real = method.field("teacher", batch).data(x_t, t)
    torch.testing.assert_close(method.gradient(x, batch), (x - real) / (x - real).abs().mean((1, 2, 3), keepdim=True))
    assert set(method.roles) == {"model", "teacher"}
    assert [update.group for update in method.updates(composition.feed(), 0)] == ["model"]


def exits(method, feed, seen, num):
    """How often the student was asked for each of `num` batches."""
    found = []
    for _ in range(num):
        seen.clear()
        method.sample(next(feed))
        found.append(len(seen))
    return found


def test_dmd_walks_to_a_random_step_without_gradient_on_samples_of_its_own(toy):
    composition, method = distilled(toy, DMD(num_steps=2))
    seen, feed = [], composition.feed()
    composition.model.register_forward_hook(lambda module, inputs, output: seen.append((*inputs[:2], output[0])))
    batch = next(batch for batch in feed if exits(method, iter([batch]), seen, 1) == [2])
    (x_0, t_0, first), (x, t, last) = seen
    estimate, fresh = x_0 + first, batch.noise("noise of time 1")
    assert torch.equal(x_0, batch.noise())
    assert (t_0.unique().tolist(), t.unique().tolist()) == ([0.0], [0.5])
    torch.testing.assert_close(x, 0.5 * estimate + 0.5 * fresh)
    assert (first.requires_grad, x.requires_grad, last.requires_grad) == (False, False, True)


def test_dmd_leaves_every_part_of_a_batch_at_the_same_step(toy):
    composition, method = distilled(toy, DMD(num_steps=3), accumulate=2)
    seen = []
    composition.model.register_forward_hook(lambda module, inputs, output: seen.append(1))
    found = exits(method, composition.feed(), seen, 40)
    assert found[::2] == found[1::2]
    assert set(found) == {1, 2, 3}


@pytest.mark.parametrize(("times", "wanted"), [(None, [0.0, 0.25, 0.5, 0.75]), ((0.0, 0.2, 0.3, 0.9), [0.0, 0.2, 0.3, 0.9])])
def test_dmd_of_several_steps_noises_its_estimate_to_the_next_time(toy, times, wanted):
    composition = toy.compose(distiller=DMD(num_steps=4, times=times), start="fresh")
    model, asked = Gaussian([2.0, -1.0], std=0.0), []
    model.register_forward_pre_hook(lambda module, inputs: asked.append((inputs[0], inputs[1].mean().item())))
    field = Field(model, composition.loss, torch.zeros(64, dtype=torch.int64))
    found = composition.rounds()[0].solver(field, points(), generator=torch.Generator().manual_seed(0))
    assert [t for _, t in asked] == pytest.approx(wanted)
    left = [(x - t * model.mean).std().item() for x, t in asked]
    assert left == pytest.approx([1 - t for t in wanted], rel=0.3)
    torch.testing.assert_close(found, model.mean.expand_as(found), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("part", [DMD, DMD2, SCM])
@pytest.mark.parametrize("times", [(0.0,), (0.1, 0.5), (0.0, 0.0), (0.0, 0.5, 0.7), (0.0, 1.0), (0, 500)])
def test_times_that_are_no_grid_of_the_steps_are_refused(part, times):
    with pytest.raises(ValueError, match=rf"distiller.{part.__name__}.times = .* are not .*num_steps = 2 times that rise"):
        part(num_steps=2, times=times)


def test_dmd_needs_a_start(toy):
    composition = toy.compose(distiller=DMD())
    with pytest.raises(ValueError, match=r"train.start is not set, but a teacher is needed"):
        composition.rounds()


def test_dmd_method_state_is_empty_and_loads(toy):
    _, method = distilled(toy)
    method.load_state_dict(method.state_dict())
    assert method.state_dict() == {}


def test_dmd_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"distiller": DMD(critic_updates=2), "start": "fresh", "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
