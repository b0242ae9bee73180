from __future__ import annotations

import pytest
import torch
from genever.testing import ToyEncoder, take_steps
from genever.training import Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.distiller.dmd import DMD
from genever_plugins.distiller.dmd2 import DMD2
from genever_plugins.distiller.progressive import StudentSteps
from genever_plugins.guidance.cfg import CFG
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA

PAIRS = {"num_pairs": 40, "teacher_steps": 4, "critic_updates": 2}


def distilled(toy, **given):
    """The method as its round begins, its student no longer its teacher."""
    parts = {"data": toy.gaussian(num_classes=3, side=2), "conditioner": Classes()}
    composition = toy.compose(distiller=DMD(**{"regression_weight": 0.25, **PAIRS, **given}), start="fresh", **parts)
    (round_,) = composition.rounds()
    method = round_.start({})
    round_.prepare(method)
    with torch.no_grad():
        for weight in composition.model.parameters():
            weight.mul_(1.2)
    return composition, method


def sides(composition, method, batch):
    """By hand: where the student carries a noise in one step, and the teacher in four, under the same condition."""
    pairs = method.roles["pairs"]
    chosen = batch.draws.integers("pair", 40)
    z, cond = pairs.noise[chosen].float(), composition.conditioner.prepare(composition.data.fetch(chosen.tolist()))
    y, zero = z, torch.zeros(len(z))
    with torch.no_grad():
        for quarter in range(4):
            y = y + composition.teacher(y, zero + quarter / 4, cond)[0] / 4
    return z + composition.model(z, zero, cond)[0], y


def test_regression_is_the_weighed_mean_square_between_the_student_and_the_teachers_ode(toy):
    composition, method = distilled(toy)
    batch = next(composition.feed())
    made, wanted = sides(composition, method, batch)
    error = (made - wanted).square().mean()
    assert error > 1e-3
    torch.testing.assert_close(method.student_losses(batch)["regression"], 0.25 * error, rtol=2e-2, atol=0)


def test_regression_compares_what_an_encoder_sees(toy):
    composition, method = distilled(toy, encoder=ToyEncoder(), grid=2)
    batch = next(composition.feed())
    made, wanted = (method.roles["encoder"](side) for side in sides(composition, method, batch))
    error = (2 - 2 * torch.cosine_similarity(made, wanted, dim=2)).mean()
    assert error > 1e-4
    torch.testing.assert_close(method.student_losses(batch)["regression"], 0.25 * error, rtol=2e-2, atol=0)


def test_regression_stands_beside_the_loss_that_there_is_without_it(toy):
    compositions = [toy.compose(distiller=DMD(regression_weight=one, **PAIRS), start="fresh") for one in (0.0, 0.25)]
    plain, regressed = (one.rounds()[0] for one in compositions)
    methods = plain.start({}), regressed.start({})
    without, with_it = (take_steps(one, of, 1) for one, of in zip(methods, compositions, strict=True))
    assert plain.prepare is None
    assert set(methods[0].roles) == {"model", "teacher", "critic"}
    assert without == {name: values for name, values in with_it.items() if name != "model/regression"}


@pytest.mark.parametrize("encoder", [None, ToyEncoder()])
def test_regression_teaches_the_student_alone(toy, encoder):
    composition, method = distilled(toy, encoder=encoder)
    for role, module in method.roles.items():
        for parameter in module.parameters():
            parameter.requires_grad_(role in ("model", "critic"))
    method.student_losses(next(composition.feed()))["regression"].backward()
    touched = {role for role, module in method.roles.items() if any(p.grad is not None for p in module.parameters())}
    assert touched == {"model"}
    assert {"teacher", "pairs"} <= method.frozen <= {"teacher", "pairs", "encoder"}


def test_student_that_regresses_comes_to_where_its_teacher_is_in_many_steps(toy):
    composition, method = distilled(toy, regression_weight=10.0)
    seen = take_steps(method, composition, 150, rate={"model": 3e-3, "critic": 1e-3})["model/regression"]
    assert sum(seen[-5:]) < 0.1 * sum(seen[:5])


def test_guidance_is_folded_into_the_pairs_of_dmd(toy):
    composition, method = distilled(toy, guidance=CFG(scale=3.0))
    pairs = method.roles["pairs"]
    null = composition.conditioner.null(pairs.cond)
    field = Field(composition.teacher, composition.loss, pairs.cond, guidance=CFG(scale=3.0), null=null)
    wanted = StudentSteps(num_steps=4)(field, pairs.noise.float(), generator=torch.Generator())
    torch.testing.assert_close(pairs.data.float(), wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
def test_dmd_with_pairs_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, tuner):
    distiller = DMD(regression_weight=0.25, encoder=ToyEncoder(), grid=1, **PAIRS)
    parts = {"distiller": distiller, "start": "fresh", "tuner": tuner}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_dmd2_makes_no_pairs(toy):
    composition = toy.compose(distiller=DMD2(), start="fresh")
    (round_,) = composition.rounds()
    assert round_.prepare is None
    assert "pairs" not in round_.start({}).roles


def test_encoder_without_a_regression_is_refused():
    with pytest.raises(ValueError, match=r"of which distiller\.DMD\.regression_weight = 0 makes none\. Set a weight"):
        DMD(encoder=ToyEncoder())


def test_regression_of_several_steps_is_refused():
    with pytest.raises(
        ValueError, match=r"distiller\.DMD\.regression_weight = 0\.5 compares .*num_steps = 2, .* Set num_steps = 1, or"
    ):
        DMD(regression_weight=0.5, num_steps=2)


def test_regression_needs_a_start(toy):
    with pytest.raises(ValueError, match=r"train\.start is not set, but a teacher is needed"):
        toy.compose(distiller=DMD(regression_weight=0.25)).rounds()
