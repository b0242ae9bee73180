from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.testing import take_steps
from genever.training import Field
from genever_plugins.distiller.consistency import end
from genever_plugins.distiller.scm import SCM, normalised
from genever_plugins.guidance.cfg import CFG
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from genever_plugins.sampler.uniform import Uniform
from torch import nn

WAYS = ("exact", "finite_differences")
MEAN, STD = 2.0, 0.5


def spread(t):
    return ((t * STD) ** 2 + (1 - t) ** 2).sqrt()


class TeachersVelocity(nn.Module):
    """The exact velocity towards N(MEAN, STD²)."""

    def forward(self, x, t, cond, taps=()):
        t = t.view(-1, 1, 1, 1)
        return MEAN + (t * STD**2 - (1 - t)) / spread(t) ** 2 * (x - t * MEAN), ()


class FlowMap(nn.Module):
    """The velocity that leads in one step to where that field leads from (x, t)."""

    def forward(self, x, t, cond, taps=()):
        t = t.view(-1, 1, 1, 1)
        return (MEAN + STD * (x - t * MEAN) / spread(t) - x) / (1 - t), ()


def distilled(toy, distiller=None, **parts):
    given = {"start": "fresh", "sampler": Uniform(), "batch_size": 64, **parts}
    composition = toy.compose(distiller=distiller or SCM(warmup_steps=0), **given)
    return composition, composition.rounds()[0].start({})


def tangent_at(composition, method, student, step=0):
    """The tangent of a student at points of the exact trajectories."""
    batch, t = next(composition.feed()), times()
    x = t.view(-1, 1, 1, 1) * MEAN + spread(t.view(-1, 1, 1, 1)) * batch.noise()
    own = Field(student, composition.loss, batch.cond).velocity(x, t)
    return replace(method, roles={"model": student, "teacher": TeachersVelocity()}).tangent(batch, x, t, own, step)


def times():
    return 0.05 + 0.9 * torch.rand(64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("how", WAYS)
def test_scm_tangent_vanishes_at_the_true_flow_map(toy, how):
    composition, method = distilled(toy, SCM(warmup_steps=0, derivative=how))
    tangent, other = (tangent_at(composition, method, student) for student in (FlowMap(), TeachersVelocity()))
    assert tangent.abs().max() < {"exact": 1e-4, "finite_differences": 2e-2}[how]
    assert other.abs().mean() > 0.1


@pytest.mark.parametrize("loss", [FlowMatching(path=Linear()), EDM(path=Linear())], ids=["flow_matching", "edm"])
def test_scm_tangent_is_the_change_of_the_end_along_the_trajectory(toy, loss):
    composition, method = distilled(toy, SCM(warmup_steps=0, velocity="data"), loss=loss)
    batch, t, h = next(composition.feed()), times(), 1e-3
    field = Field(composition.model, loss, batch.cond)

    def at(t):
        return method.base.corrupt(batch.x_1, batch.noise(), t)

    tangent = method.tangent(batch, at(t), t, field.velocity(at(t), t), 0)
    wanted = (end(field, at(t + h), t + h) - end(field, at(t - h), t - h)) / (2 * h)
    torch.testing.assert_close(tangent, wanted, rtol=1e-2, atol=1e-2)


def test_scm_begins_as_flow_matching_along_a_normalised_tangent(toy):
    composition, method = distilled(toy, SCM(warmup_steps=10, velocity="data", c=0.5))
    batch = next(composition.feed())
    t = method.base.times(batch)
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    own = Field(composition.model, composition.loss, batch.cond).velocity(x_t, t)
    towards = batch.x_1 - batch.noise() - own
    length = towards.flatten(1).norm(dim=1) / towards[0].numel() ** 0.5
    wanted = (length / (length + 0.5)).square().mean()
    torch.testing.assert_close(method.losses(batch, 0)["loss"], wanted)


def test_scm_warms_up_the_derivative_alone(toy):
    composition, method = distilled(toy, SCM(warmup_steps=8))
    found = [tangent_at(composition, method, composition.model, step) for step in (0, 2, 8, 80)]
    torch.testing.assert_close(found[1] - found[0], (found[2] - found[0]) / 4)
    assert torch.equal(found[2], found[3])


def test_normalised_tangents_of_each_sample_are_shorter_than_1():
    tangent = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 8).view(
        -1, 1, 1, 1
    )
    length = tangent.square().mean((1, 2, 3)).sqrt()
    found = normalised(tangent, 0.1)
    torch.testing.assert_close(found.square().mean((1, 2, 3)).sqrt(), length / (length + 0.1))
    assert normalised(torch.zeros(1, 3, 2, 2), 0.1).count_nonzero() == 0


def test_scm_of_data_has_no_teacher(toy):
    composition, method = distilled(toy, SCM(velocity="data"), start=None)
    assert set(method.roles) == {"model"}
    take_steps(method, composition, 1)


def test_scm_of_a_teacher_needs_a_start(toy):
    with pytest.raises(ValueError, match=r"train.start is not set, but a teacher is needed"):
        distilled(toy, start=None)


def test_scm_guides_the_teacher_alone_and_never_itself():
    with pytest.raises(ValueError, match=r"SCM.guidance guides a teacher, but .*velocity = 'data' asks for none"):
        SCM(velocity="data", guidance=CFG())


def test_scm_gradient_flows_through_the_students_own_output_alone(toy):
    composition, method = distilled(toy)
    batch = next(composition.feed())
    losses, learning = method.losses(batch, 0)["loss"], [*composition.model.parameters()]
    found = torch.autograd.grad(losses, learning)
    t = method.base.times(batch)
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    u = Field(composition.model, composition.loss, batch.cond).velocity(x_t, t)
    pull = normalised(method.tangent(batch, x_t, t, u.detach(), 0), 0.1)
    wanted = torch.autograd.grad(-2 * (pull.detach() * u).flatten(1).mean(1).mean(), learning)
    torch.testing.assert_close([*found], [*wanted])
