"""Numbers beside another conditioner's condition, in any order."""

from __future__ import annotations

import copy

import pytest
import torch
from genever.slots import ImageConditionerModule, NumberConditionerModule, TeachableConditionerModule
from genever.testing import ToyConditioner, ToyData, conformance, toy_composition
from genever.training import Draws, Field
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.end_time import EndTime
from genever_plugins.conditioner.guidance_scale import GuidanceScale
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.conditioner.text import Text
from genever_plugins.guidance.cfg import CFG

DATA = ToyData()
TEXT = Text(width=16, heads=2, depth=1, max_length=6)
NESTED = {
    "end time outside": EndTime(conditioner=GuidanceScale(conditioner=Classes())),
    "end time inside": GuidanceScale(conditioner=EndTime(conditioner=Classes())),
    "around an image": EndTime(conditioner=GuidanceScale(conditioner=LowResolution(conditioner=Classes()))),
    "in an image's": EndTime(conditioner=LowResolution(conditioner=GuidanceScale(conditioner=Classes()))),
}

test_end_time_of_text = conformance("conditioner.EndTime", conditioner=TEXT)
test_end_time_of_a_low_resolution = conformance("conditioner.EndTime", conditioner=LowResolution(conditioner=Classes()))
test_scale_of_an_end_time = conformance("conditioner.GuidanceScale", conditioner=EndTime(conditioner=Classes()))


def prepared(conditioner, num=6):
    samples = DATA.build("train").fetch(range(num))
    module = conditioner.build(DATA.build("train").spec).eval()
    return module, module.prepare(samples)


@pytest.mark.parametrize("name", ["end time outside", "end time inside", "around an image"])
def test_nested_numbers_are_kept_apart(name):
    module, cond = prepared(NESTED[name])
    times, scales = torch.linspace(0, 1, 6) / 3, torch.linspace(1, 15, 6).exp()
    told = module.with_number(module.with_number(cond, "end_time", times), "guidance_scale", scales)
    for given in (told, module.null(told), copy.deepcopy(module).with_number(told, "end_time", times)):
        condition = module(given)
        assert torch.equal(condition.numbers["end_time"], times)
        assert torch.equal(condition.numbers["guidance_scale"], scales)
    assert module(module.null(told)).classes.tolist() == [3] * 6
    assert torch.equal(module(told).classes, module(cond).classes)


@pytest.mark.parametrize("conditioner", NESTED.values(), ids=NESTED)
def test_numbers_are_neutral_until_they_are_set(conditioner):
    module, cond = prepared(conditioner)
    numbers = module(cond).numbers
    assert {"end_time", "guidance_scale"} <= numbers.keys() == set(module.spec.numbers)
    assert all(numbers[name].tolist() == [1.0] * 6 for name in ("end_time", "guidance_scale"))


def test_image_of_the_inner_conditioner_is_noised_as_it_is_alone():
    alone, plain = prepared(LowResolution(conditioner=Classes()))
    module, cond = prepared(NESTED["around an image"])
    assert isinstance(module, ImageConditionerModule)
    draws = Draws((0, 0, 0), slice(0, 6), 6, torch.device("cpu"))
    theirs = alone(alone.augment(plain, draws))
    ours = module(module.augment(module.with_number(cond, "end_time", torch.arange(6) / 9), draws))
    assert torch.equal(ours.image, theirs.image)
    assert torch.equal(ours.numbers["image_level"], theirs.numbers["image_level"])
    assert ours.numbers["end_time"].tolist() == pytest.approx([k / 9 for k in range(6)])


def test_number_is_as_able_as_the_conditioner_that_it_goes_around():
    assert isinstance(EndTime(conditioner=TEXT).build(DATA.build("train").spec), TeachableConditionerModule)
    plain = EndTime(conditioner=Classes()).build(DATA.build("train").spec)
    assert isinstance(plain, NumberConditionerModule)
    assert not isinstance(plain, ImageConditionerModule | TeachableConditionerModule)


def test_same_number_twice_is_refused():
    with pytest.raises(ValueError, match=r"Two conditioners of this stage.*both give 'end_time'. Leave one out."):
        EndTime(conditioner=NESTED["end time inside"]).build(DATA.build("train").spec)


def test_field_sets_a_number_with_the_condition_and_without_it():
    composition, seen = toy_composition(conditioner=EndTime(conditioner=ToyConditioner())), []
    network, batch = composition.model.network, next(composition.feed())
    network.forward = lambda x, t, condition, taps=(): seen.append(condition) or (x, ())
    field = Field(composition.model, composition.loss, batch.cond, guidance=CFG(scale=2.0), null=batch.null)
    field.with_number("end_time", 0.25).velocity(batch.x_1, 0.0)
    field.velocity(batch.x_1, 0.0)
    assert seen[0].numbers["end_time"].tolist() == [0.25] * 16
    assert sorted(set(seen[0].classes.tolist())) == [0, 1, 2, 3]
    assert seen[1].numbers["end_time"].tolist() == [1.0] * 16
