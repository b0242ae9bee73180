from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from genever.testing import take_steps
from genever.training import Field
from genever_plugins.average.constant import Constant
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distance.huber import Huber
from genever_plugins.distiller.consistency import end, step
from genever_plugins.distiller.consistency_distillation import ConsistencyDistillation
from genever_plugins.distiller.consistency_training import ConsistencyTraining
from genever_plugins.distiller.discretisation import doubling, growing, interval
from genever_plugins.distiller.ect import ECT
from genever_plugins.distiller.few_steps import Renoising
from genever_plugins.distiller.neighbours import OfData, OfTeacher
from genever_plugins.distiller.scm import SCM
from genever_plugins.guidance.cfg import CFG
from genever_plugins.loss.ddpm import DDPM
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.loss.score_matching import ScoreMatching
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.sampler.uniform import Uniform
from genever_plugins.solver.euler import Euler
from torch import nn

LOSSES = (
    FlowMatching(path=Linear()),
    EDM(path=Linear()),
    DDPM(path=VPCosine()),
    VPrediction(path=VPLinear()),
    ScoreMatching(path=VE()),
)
MEAN, STD = 2.0, 0.5


def spread(t):
    """The standard deviation of x_t on the straight path to N(MEAN, STD²)."""
    return ((t * STD) ** 2 + (1 - t) ** 2).sqrt()


class TeachersVelocity(nn.Module):
    """The exact velocity towards N(MEAN, STD²)."""

    def forward(self, x, t, cond, taps=()):
        t = t.view(-1, 1, 1, 1)
        return MEAN + (t * STD**2 - (1 - t)) / spread(t) ** 2 * (x - t * MEAN), ()


class FlowMap(nn.Module):
    """The velocity that leads in one step to where that field leads from (x, t)."""

    def forward(self, x, t, cond, taps=()):
        t = t.clamp(max=1 - 1e-6).view(-1, 1, 1, 1)
        return (MEAN + STD * (x - t * MEAN) / spread(t) - x) / (1 - t), ()


class Collapsed(nn.Module):
    """The velocity by which every point but one of data itself is said to end at 0."""

    def forward(self, x, t, cond, taps=()):
        return -x / (1 - t).clamp_min(1e-6).view(-1, 1, 1, 1), ()


class Random(nn.Module):
    """Any output at all."""

    def forward(self, x, t, cond, taps=()):
        return torch.sin(37 * x) + 3, ()


def distilled(toy, distiller, **parts):
    composition = toy.compose(distiller=distiller, start="fresh", sampler=Uniform(), **parts)
    return composition, composition.rounds()[0].start({})


def field_of(network, loss=LOSSES[0], num=64):
    return Field(network, loss, torch.zeros(num, dtype=torch.int64))


def points(num=64):
    return torch.randn(num, 2, 1, 1, generator=torch.Generator().manual_seed(0))


def one_loss(method, composition, step=0, **roles):
    method = replace(method, roles={**method.roles, **roles})
    if isinstance(method.neighbour, OfTeacher) and "teacher" in roles:
        method = replace(method, neighbour=replace(method.neighbour, teacher=roles["teacher"]))
    return float(method.losses(next(composition.feed()), step)["consistency"].detach())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_consistency_function_is_the_identity_where_the_path_ends_whatever_the_network_says(loss):
    found = end(field_of(Random(), loss), points(), torch.full((64,), loss.path.stop))
    torch.testing.assert_close(found, points(), rtol=1e-4, atol=1e-5)


def test_consistency_boundary_of_the_straight_path_holds_to_the_bit():
    assert torch.equal(end(field_of(Random()), points(), torch.ones(64)), points())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_step_to_where_it_begins_is_none(loss):
    t = 0.1 + 0.8 * torch.rand(64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(step(field_of(Random(), loss), points(), t, t), points(), rtol=1e-3, atol=1e-4)


def test_consistency_function_is_constant_along_the_exact_flow():
    x, ends = points(), []
    for time in torch.linspace(0, 0.99, 100):
        t = time.expand(64)
        x_t = time * MEAN + spread(time) * x
        ends.append(end(field_of(FlowMap()), x_t, t))
    torch.testing.assert_close(torch.stack(ends), (MEAN + STD * x).expand(100, *x.shape), rtol=0, atol=1e-3)


@pytest.mark.parametrize("order", ["ddim", "heun"])
def test_consistency_distillation_has_no_loss_at_the_true_flow_map(toy, order):
    composition, method = distilled(toy, ConsistencyDistillation(num_intervals=200, order=order))
    roles = {"teacher": TeachersVelocity()}
    at_map, at_teacher = (
        one_loss(method, composition, 0, **roles, model=model) for model in (FlowMap(), TeachersVelocity())
    )
    assert at_map < {"ddim": 2e-4, "heun": 1e-6}[order]
    assert at_teacher > 10 * at_map


def test_heun_step_of_the_teacher_is_of_second_order(toy):
    batch, errors = next(toy.compose().feed()), []
    for length in (0.2, 0.1):
        t = torch.tensor(0.3)
        x, wanted = (time * MEAN + spread(time) * points() for time in (t, t + length))
        neighbour = OfTeacher(teacher=TeachersVelocity(), loss=LOSSES[0], order="heun")
        found = neighbour(batch, x, t.expand(64), (t + length).expand(64))
        errors.append((found - wanted).abs().mean())
    assert 6 < errors[0] / errors[1] < 11


def test_neighbour_of_data_is_eulers_step_to_the_true_data(toy):
    composition, method = distilled(toy, ConsistencyTraining(distance=Huber()))
    batch = next(composition.feed())
    t = torch.rand(64, generator=torch.Generator().manual_seed(1))
    s, x_t = t + 0.3 * (1 - t), method.base.corrupt(batch.x_1, batch.noise(), t)
    found = OfData(base=method.base)(batch, x_t, t, s)
    torch.testing.assert_close(found, x_t + (s - t).view(-1, 1, 1, 1) * (batch.x_1 - batch.noise()))


def test_consistency_without_its_boundary_would_collapse(toy):
    composition, method = distilled(toy, ConsistencyDistillation(num_intervals=4))
    early, late = (replace(method, intervals=lambda t, step, k=k: (0 * t + k / 4, 0 * t + (k + 1) / 4)) for k in (1, 3))
    assert one_loss(early, composition, model=Collapsed()) < 1e-10
    assert one_loss(late, composition, model=Collapsed()) > 1


@pytest.mark.parametrize("average", [None, Constant(decay=0.5)])
def test_consistency_gradient_does_not_flow_into_the_target(toy, average):
    composition, method = distilled(toy, ConsistencyDistillation(average=average))
    batch = next(composition.feed())
    for module in method.roles.values():
        module.requires_grad_(True)
    method.losses(batch, 0)["consistency"].backward()
    t, s = method.intervals(method.base.times(batch), 0)
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    student = method.field("model", batch)
    with torch.no_grad():
        target = end(student, method.neighbour(batch, x_t, t, s), s)
    wanted = ((end(student, x_t, t) - target).square().flatten(1).mean(1) / (s - t)).mean()
    learning = [*method.roles["model"].parameters()]
    gradients = torch.autograd.grad(wanted, learning)
    torch.testing.assert_close([p.grad for p in learning], [*gradients])
    assert all(p.grad is None for role in method.roles if role != "model" for p in method.roles[role].parameters())


def test_consistency_target_follows_the_student_by_its_average(toy):
    composition, method = distilled(toy, ConsistencyDistillation(average=Constant(decay=0.75)))
    before = {name: p.clone() for name, p in method.roles["target"].named_parameters()}
    take_steps(method, composition, 1)
    for name, p in method.roles["target"].named_parameters():
        wanted = 0.75 * before[name] + 0.25 * method.roles["model"].get_parameter(name)
        torch.testing.assert_close(p, wanted)
    assert "target" not in method.frozen


class Dropping(nn.Module):
    """A network with dropout, which remembers what it dropped."""

    def __init__(self):
        super().__init__()
        self.dropout, self.masks = nn.Dropout(0.5), []
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x, t, cond, taps=()):
        self.masks.append(self.dropout(torch.ones_like(x)))
        return self.weight * self.masks[-1], ()


def test_consistency_student_and_target_have_the_same_dropout(toy):
    composition, method = distilled(toy, ConsistencyDistillation())
    student = Dropping().train()
    one_loss(method, composition, model=student)
    first, second = student.masks
    assert torch.equal(first, second)
    assert 0 < first.count_nonzero() < first.numel()


@pytest.mark.parametrize(("step", "wanted"), [(0, 10), (99, 10), (100, 20), (399, 80), (400, 160), (700, 1280), (799, 1280)])
def test_doubling_intervals_double_in_equal_parts_of_the_training(step, wanted):
    assert doubling(step, 800, 10, 1280) == wanted


def test_growing_intervals_follow_their_formula():
    found = [growing(step, 1000, 2, 150) for step in range(1001)]
    assert found == [math.ceil(math.sqrt(k / 1000 * (151**2 - 4) + 4) - 1) for k in range(1001)]
    assert (found[0], found[-1]) == (1, 150)


@pytest.mark.parametrize("path", [Linear(), VPCosine()])
def test_interval_holds_its_time_and_reaches_both_ends_of_the_path(path):
    t = torch.linspace(path.start, path.stop, 101)
    low, high = interval(path, 5, t)
    length = (path.stop - path.start) / 5
    torch.testing.assert_close(high - low, torch.full((101,), length))
    assert bool(((low <= t) & (t <= high)).all())
    assert (float(low[0]), float(high[-1])) == (pytest.approx(path.start), pytest.approx(path.stop))


def test_consistency_training_cuts_the_path_finer_as_it_goes(toy):
    _, method = distilled(toy, ConsistencyTraining(first_intervals=2, last_intervals=8, distance=Huber()), steps=9)
    lengths = [float((s - t)[0]) for t, s in (method.intervals(torch.tensor([0.3]), step) for step in range(9))]
    assert lengths == [0.5] * 3 + [0.25] * 3 + [0.125] * 3


@pytest.mark.parametrize("stage", [0, 1, 5])
def test_ect_interval_has_its_closed_form_and_ends_at_data_at_most(stage):
    t = torch.linspace(0, 1, 101)
    found = ECT(q=3.0, k=5.0, b=2.0, distance=Huber()).other_end(Linear(), t, stage=stage)
    for time, end_time in zip(t.tolist(), found.tolist(), strict=True):
        weight = 0.0 if time == 0 else 1 / (1 + math.exp(min(700, 2 * (1 - time) / time)))
        left = max(0.0, 1 - (1 + 5 * weight) / 3 ** (stage + 1))
        assert end_time == pytest.approx(1 - left * (1 - time), abs=1e-6)
    assert bool((found >= t).all())


def test_ect_begins_as_the_base_method_near_data(toy):
    composition, method = distilled(toy, ECT(distance=Huber()))
    batch, t = next(composition.feed()), torch.full((64,), 0.8)
    method = replace(method, intervals=lambda drawn, step: (t, ECT(distance=Huber()).other_end(Linear(), t, stage=0)))
    x_t = method.base.corrupt(batch.x_1, batch.noise(), t)
    wanted = Huber()(end(method.field("model", batch), x_t, t), batch.x_1) / 0.2
    torch.testing.assert_close(method.losses(batch, 0)["consistency"], wanted.mean())


def test_ect_at_the_very_end_of_the_path_has_no_error(toy):
    composition, method = distilled(toy, ECT(distance=Huber()))
    method = replace(method, intervals=lambda t, step: (torch.ones(64), torch.ones(64)))
    assert one_loss(method, composition) == 0


def test_consistency_guides_the_teacher_alone(toy):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(dropout=0.5)}
    composition, method = distilled(toy, ConsistencyDistillation(guidance=CFG(scale=3.0), order="ddim"), **parts)
    sizes = {role: set() for role in method.roles}
    for role, module in method.roles.items():
        module.register_forward_pre_hook(lambda module, inputs, role=role: sizes[role].add(len(inputs[0])))
    take_steps(method, composition, 1)
    assert sizes == {"model": {64}, "teacher": {128}}


LEARNERS = {
    "distillation": ConsistencyDistillation(order="ddim"),
    "training": ConsistencyTraining(last_intervals=80, distance=Huber(c=0.03)),
    "ect": ECT(distance=Huber(c=0.03)),
    "scm": SCM(warmup_steps=50, derivative="finite_differences"),
}


@cache
def trained_on_a_ring(toy):
    composition = toy.compose(data=toy.modes(), batch_size=256)
    take_steps(composition.rounds()[0].start({}), composition, 300, rate=3e-3)
    return composition.model.state_dict()


@pytest.mark.parametrize("name", LEARNERS)
def test_consistency_student_of_one_step_is_nearer_to_its_teacher_than_the_teacher_in_one_step(toy, name):
    composition, method = distilled(toy, LEARNERS[name], data=toy.modes(), batch_size=256, steps=100)
    for model in (composition.model, composition.teacher):
        model.load_state_dict(trained_on_a_ring(toy))
    take_steps(method, composition, 100, rate=1e-3)
    with torch.no_grad():
        wanted = Euler(num_steps=50)(field_of(composition.teacher), points(), generator=torch.Generator())
        naive, found = (
            end(field_of(model), points(), torch.zeros(64)) for model in (composition.teacher, composition.model)
        )
    assert (found - wanted).square().mean() < 0.2 * (naive - wanted).square().mean()


@pytest.mark.parametrize("distiller", LEARNERS.values(), ids=LEARNERS)
def test_consistency_students_are_sampled_unguided_in_the_steps_that_were_asked_for(toy, distiller):
    composition = toy.compose(distiller=replace(distiller, num_steps=2, times=(0.0, 0.6)), start="fresh", guidance=CFG())
    (round_,) = composition.rounds()
    assert round_.solver == Renoising(num_steps=2, times=(0.0, 0.6))
    assert round_.guidance is None


def test_consistency_distillation_needs_a_start(toy):
    with pytest.raises(ValueError, match=r"train.start is not set, but a teacher is needed"):
        toy.compose(distiller=ConsistencyDistillation()).rounds()


def test_consistency_training_names_the_keys_where_intervals_would_grow():
    with pytest.raises(ValueError, match=r"last_intervals = 4 is less than .*first_intervals = 10\. .* choose 10 or more"):
        ConsistencyTraining(last_intervals=4, distance=Huber())
