from __future__ import annotations

import pytest
import torch
from genever.testing import ToyConditioner, take_steps, toy_composition
from genever.training import Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.guidance_scale import GuidanceScale
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.distance.huber import Huber
from genever_plugins.distiller.consistency import step
from genever_plugins.distiller.few_steps import Renoising
from genever_plugins.distiller.lcm import LCM
from genever_plugins.guidance.cfg import CFG
from genever_plugins.sampler.uniform import Uniform
from genever_plugins.solver.euler import Euler
from genever_plugins.tuner.lora import LoRA
from torch import nn


def distilled(toy, distiller=None, **parts):
    given = {"conditioner": GuidanceScale(conditioner=Classes()), "data": toy.gaussian(num_classes=3), **parts}
    distiller = distiller or LCM(low=1.0, high=3.0, distance=Huber())
    composition = toy.compose(distiller=distiller, start="fresh", sampler=Uniform(), **given)
    return composition, composition.rounds()[0].start({})


def points(num=64):
    return torch.randn(num, 2, 1, 1, generator=torch.Generator().manual_seed(0))


def test_lcm_teacher_is_guided_at_each_samples_own_scale(toy):
    composition, method = distilled(toy)
    batch = next(composition.feed())
    t, scales = torch.full((64,), 0.4), 1 + 2 * batch.draws.uniform("guidance scale")
    found = method.neighbour(batch, points(), t, t + 0.1)
    for number in (0, 1, 63):
        guidance = CFG(scale=float(scales[number]))
        field = Field(composition.teacher, composition.loss, batch.cond, guidance=guidance, null=batch.null)
        torch.testing.assert_close(found[number], step(field, points(), t, t + 0.1)[number])


def test_lcm_scale_of_each_sample_reaches_the_student(toy):
    composition, method = distilled(toy)
    batch, seen = next(composition.feed()), []
    composition.model.conditioner.register_forward_hook(lambda module, inputs, made: seen.append(made.numbers))
    method.losses(batch, 0)
    scales = 1 + 2 * batch.draws.uniform("guidance scale")
    assert len(seen) == 2
    assert all(torch.equal(numbers["guidance_scale"], scales) for numbers in seen)
    assert scales.min() < 1.2
    assert scales.max() > 2.8


def test_lcm_student_learns_what_a_scale_does(toy):
    composition, method = distilled(toy, LCM(low=1.0, high=3.0, num_intervals=4, distance=Huber(c=0.1)))
    cond, teacher = next(composition.feed()).cond, composition.teacher
    nn.init.normal_(teacher.get_parameter("network.classes.weight"), generator=torch.Generator().manual_seed(3))
    composition.model.load_state_dict(teacher.state_dict())
    take_steps(method, composition, 60, rate=2e-2)
    with torch.no_grad():
        guided = [many_steps(composition.field_of(teacher, cond, CFG(scale=scale))) for scale in (1.0, 3.0)]
        field = composition.field_of(composition.model, cond)
        asked = [one_step(field.with_number("guidance_scale", scale)) for scale in (1.0, 3.0)]
    errors = torch.tensor([[(one - other).square().mean() for other in guided] for one in asked])
    assert errors.diagonal().max() < 0.3 * errors.flip(0).diagonal().min()


def one_step(field):
    return Renoising(num_steps=1)(field, points(), generator=torch.Generator())


def many_steps(field):
    return Euler(num_steps=50)(field, points(), generator=torch.Generator())


def test_lcm_samples_are_asked_for_at_one_scale(toy):
    composition, _ = distilled(toy, LCM(low=1.0, high=3.0, sample_scale=2.5, num_steps=2, distance=Huber()))
    (round_,) = composition.rounds()
    field = composition.field_of(composition.model, next(composition.feed()).cond)
    nn.init.normal_(composition.model.get_parameter("network.numbers.guidance_scale.weight"))
    luck = torch.Generator().manual_seed(5)
    found = round_.solver(field, points(), generator=luck)
    steps = Renoising(num_steps=2)
    wanted, other = (
        steps(field.with_number("guidance_scale", scale), points(), generator=luck.manual_seed(5)) for scale in (2.5, 2.0)
    )
    assert torch.equal(found, wanted)
    assert not torch.equal(found, other)
    assert round_.guidance is None


RING = {"conditioner": Unconditional(), "batch_size": 64}


def test_lcm_lora_of_one_start_makes_one_step_enough_for_another_checkpoint(toy):
    start = toy.compose(data=toy.modes(), **RING)
    take_steps(start.rounds()[0].start({}), start, 60, rate=1e-2)
    other = toy.compose(data=toy.modes(radius=3.0), **RING)
    other.model.load_state_dict(start.model.state_dict())
    take_steps(other.rounds()[0].start({}), other, 20, rate=3e-3)
    adapter = adapted(toy, start.model)
    made = {}
    for name, checkpoint in (("start", start), ("other", other)):
        composition = toy.compose(data=toy.modes(), tuner=LoRA(rank=8), **RING)
        load_plain(composition.model, checkpoint.model)
        composition.model.load_state_dict(adapter, strict=False)
        with torch.no_grad():
            made[name] = one_step(composition.field_of(composition.model, CLASSLESS))
    with torch.no_grad():
        naive, wanted = (make(other.field_of(other.model, CLASSLESS)) for make in (one_step, many_steps))
    error = (made["other"] - wanted).square().mean()
    assert error < 0.5 * (naive - wanted).square().mean()
    assert error < 0.75 * (made["start"] - wanted).square().mean()


CLASSLESS = torch.zeros(64, dtype=torch.int64)


def adapted(toy, start):
    """An adapter that was distilled from a start, by the names of its weights."""
    composition, method = distilled(
        toy, LCM(scale=1.0, num_intervals=4, distance=Huber()), data=toy.modes(), tuner=LoRA(rank=8), **RING
    )
    for model in (composition.model, composition.teacher):
        load_plain(model, start)
    take_steps(method, composition, 30, rate=2e-2)
    return {name: value for name, value in composition.model.state_dict().items() if ".lora_" in name}


def load_plain(model, plain):
    """Puts the weights of a model without adapters into one that may have them."""
    given = plain.state_dict()
    names = {name.replace(".base_layer", ""): name for name in model.state_dict()}
    model.load_state_dict({names[name]: value for name, value in given.items()}, strict=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"low": 3.0, "high": 2.0}, r"LCM.low = 3.0 is above distiller.LCM.high = 2.0"),
        ({"sample_scale": 1.0}, r"LCM.sample_scale = 1.0 is not learned: scales are, from 6.0 to 16.0"),
        ({"scale": 2.0, "sample_scale": 7.0}, r"LCM.sample_scale = 7.0 is not learned: scales are, from 2.0 to 2.0"),
    ],
)
def test_lcm_names_the_keys_of_scales_that_do_not_fit(given, said):
    with pytest.raises(ValueError, match=said):
        LCM(distance=Huber(), **given)


def test_lcm_scales_that_a_tuner_would_never_let_the_student_read_are_refused(toy):
    with pytest.raises(ValueError, match=r"train.tuner = LoRA leaves alone what reads it. Set distiller.LCM.scale"):
        distilled(toy, tuner=LoRA(rank=2))


class NeverDropped:
    """`genever.training.Runs`: every name is that of a model that always had its condition."""

    def open(self, name, device):
        return toy_composition(conditioner=ToyConditioner(dropout=0.0))


def test_lcm_teacher_that_always_had_its_condition_is_refused(toy):
    parts = {"conditioner": Classes(dropout=0.0), "runs": NeverDropped()}
    with pytest.raises(
        ValueError, match=r"LCM guides its teacher .* never seen: .* is 0\. Train .* distiller\.LCM\.scale = 1"
    ):
        distilled(toy, LCM(scale=7.0, distance=Huber()), **parts)
    assert distilled(toy, LCM(scale=1.0, distance=Huber()), **parts)
