from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.testing import take_steps
from genever.training import Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.progressive import ProgressiveDistillation, StudentSteps, two_steps
from genever_plugins.guidance.cfg import CFG
from genever_plugins.solver.euler import Euler
from genever_plugins.tuner.lora import LoRA
from torch import nn


class Affine(nn.Module):
    """The velocity (a + b t) + (c + d t) x: its Euler steps are affine in x at each t."""

    def __init__(self, *coefficients: float) -> None:
        super().__init__()
        self.coefficients = coefficients

    def forward(self, x, t, cond, taps=()):
        a, b, c, d = self.coefficients
        wide = t.view(-1, 1, 1, 1)
        return (a + b * wide) + (c + d * wide) * x, ()


class AffineAt(nn.Module):
    """A velocity affine in x, with coefficients of its own at each of a few grid points."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.table = nn.Embedding(num_steps, 2)

    def forward(self, x, t, cond, taps=()):
        shift, slope = self.table((t * self.num_steps).round().long()).view(-1, 2, 1, 1, 1).unbind(1)
        return shift + slope * x, ()


def distilled(toy, distiller=None, **parts):
    composition = toy.compose(distiller=distiller or ProgressiveDistillation(), start="fresh", **parts)
    return composition, composition.rounds()


def noise(num=64):
    return torch.randn(num, 2, 1, 1, generator=torch.Generator().manual_seed(0))


def test_progressive_target_is_one_step_for_two_of_the_teacher(toy):
    composition, _ = distilled(toy)
    field = Field(composition.model, composition.loss, torch.zeros(64, dtype=torch.int64))
    x, t, h = noise(), torch.rand(64, generator=torch.Generator().manual_seed(1)) / 2, torch.tensor(0.25)
    found = x + h * two_steps(field, x, t, t + h / 2, t + h)
    middle = x + h / 2 * field.velocity(x, t)
    torch.testing.assert_close(found, middle + h / 2 * field.velocity(middle, t + h / 2))


@pytest.mark.parametrize(("start", "end", "wanted"), [(16, 1, [8, 4, 2, 1]), (16, 4, [8, 4]), (2, 1, [1]), (12, 3, [6, 3])])
def test_progressive_rounds_halve_the_steps(toy, start, end, wanted):
    _, rounds = distilled(toy, ProgressiveDistillation(start_steps=start, end_steps=end))
    assert [round_.name for round_ in rounds] == [f"{steps}_steps" for steps in wanted]
    assert [round_.solver.num_steps for round_ in rounds] == wanted
    assert [round_.start({}).num_steps for round_ in rounds] == wanted


@pytest.mark.parametrize(("start", "end", "advice"), [(16, 3, "8, 4, 2, 1"), (12, 1, "6, 3"), (9, 1, "nothing; choose")])
def test_progressive_names_the_keys_where_halving_does_not_lead_to_the_end(start, end, advice):
    wanted = rf"ProgressiveDistillation.start_steps = {start} .*\.end_steps = {end}\. It can be halved to {advice}"
    with pytest.raises(ValueError, match=wanted):
        ProgressiveDistillation(start_steps=start, end_steps=end)


def test_progressive_teacher_of_the_first_round_is_the_start_and_then_the_student(toy):
    composition, rounds = distilled(toy)
    first = rounds[0].start({})
    assert first.roles["teacher"] is composition.teacher
    take_steps(first, composition, 3)
    second = rounds[1].start(first.roles)
    student, teacher = second.roles["model"].state_dict(), second.roles["teacher"].state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    assert any(not torch.equal(student[name], value) for name, value in composition.teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in second.roles["teacher"].parameters())


def test_progressive_teacher_keeps_its_weights_while_the_student_learns(toy):
    composition, rounds = distilled(toy)
    method = rounds[1].start(rounds[0].start({}).roles)
    before = {name: value.clone() for name, value in method.roles["teacher"].state_dict().items()}
    take_steps(method, composition, 3)
    assert all(torch.equal(value, before[name]) for name, value in method.roles["teacher"].state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in method.roles["model"].state_dict().items())


def test_progressive_every_round_trains_the_model_that_is_exported(toy):
    composition, rounds = distilled(toy, tuner=LoRA(rank=2))
    roles = {}
    for round_ in rounds:
        method = round_.start(roles)
        roles = method.roles
        assert roles["model"] is composition.model
        assert set(method.groups()["model"]) == set(composition.tuned.learns)


def test_progressive_student_is_shown_its_own_grid_alone(toy):
    composition, rounds = distilled(toy)
    method, seen = rounds[1].start({}), []
    composition.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    take_steps(method, composition, 5)
    assert torch.cat(seen).unique().tolist() == [0.0, 0.25, 0.5, 0.75]


def test_progressive_solver_on_the_grid_is_euler(toy):
    composition, _ = distilled(toy)
    field = Field(composition.model, composition.loss, torch.zeros(64, dtype=torch.int64))
    generator = torch.Generator()
    solvers = StudentSteps(num_steps=4), Euler(num_steps=4)
    found, wanted = (solver(field, noise(), generator=generator) for solver in solvers)
    torch.testing.assert_close(found, wanted)


def test_progressive_solves_an_affine_field_exactly(toy):
    distiller, teacher = ProgressiveDistillation(start_steps=8, end_steps=2), Affine(0.5, -1.0, -0.4, 0.6)
    composition = toy.compose(distiller=distiller, start="fresh", batch_size=256)
    composition.start_model, roles = teacher, {}
    for round_ in composition.rounds():
        method = round_.start(roles)
        student = AffineAt(method.num_steps)
        base = replace(method.base, learns={f"model.{name}": p for name, p in student.named_parameters()})
        method = replace(method, base=base, roles={**method.roles, "model": student})
        assert take_steps(method, composition, 300, rate=0.05)["model/loss"][-1] < 1e-8
        roles = method.roles
    few, many = solved(composition, roles["model"], 2), solved(composition, teacher, 8)
    torch.testing.assert_close(few, many, rtol=0, atol=1e-3)


def test_progressive_folds_guidance_into_the_first_round_alone(toy):
    parts = {"data": toy.gaussian(num_classes=3), "conditioner": Classes(), "guidance": CFG(scale=2.0)}
    _, folded = distilled(toy, ProgressiveDistillation(guidance=CFG(scale=3.0)), **parts)
    assert [round_.guidance for round_ in folded] == [None] * 4
    assert [round_.start({}).guidance for round_ in folded] == [CFG(scale=3.0), None, None, None]
    _, plain = distilled(toy, **parts)
    assert [round_.guidance for round_ in plain] == [CFG(scale=2.0)] * 4
    assert [round_.start({}).guidance for round_ in plain] == [None] * 4


def test_progressive_student_of_one_step_is_nearer_to_its_teacher_than_the_teacher_in_one_step(toy):
    base = toy.compose(data=toy.modes(), batch_size=256)
    take_steps(base.rounds()[0].start({}), base, 500, rate=3e-3)
    composition, rounds = distilled(toy, data=toy.modes(), batch_size=256)
    for model in (composition.model, composition.teacher):
        model.load_state_dict(base.model.state_dict())
    roles = {}
    for round_ in rounds:
        method = round_.start(roles)
        take_steps(method, composition, 150, rate=1e-3)
        roles = method.roles
    wanted, naive = (solved(composition, composition.teacher, num_steps) for num_steps in (16, 1))
    student = solved(composition, composition.model, 1)
    assert (student - wanted).square().mean() < 0.25 * (naive - wanted).square().mean()


@torch.no_grad()
def solved(composition, model, num_steps):
    """What a model makes of some noise on the grid of a student of `num_steps`."""
    field = Field(model, composition.loss, torch.zeros(64, dtype=torch.int64))
    return StudentSteps(num_steps=num_steps)(field, noise(), generator=torch.Generator())


def test_progressive_needs_a_start(toy):
    composition = toy.compose(distiller=ProgressiveDistillation())
    with pytest.raises(ValueError, match=r"train.start is not set, but a teacher is needed"):
        composition.rounds()


def test_progressive_method_state_is_empty_and_loads(toy):
    method = distilled(toy)[1][0].start({})
    method.load_state_dict(method.state_dict())
    assert method.state_dict() == {}


def test_progressive_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"distiller": ProgressiveDistillation(start_steps=8), "start": "fresh", "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=6, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
