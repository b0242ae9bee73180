from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from genever.testing import (
    ToyBackbone,
    ToyConditioner,
    ToyData,
    ToyGuidance,
    ToySolver,
    conformance,
    take_steps,
    toy_composition,
)
from genever.training import Draws, Evaluation, sample
from genever.values import DataSpec
from genever_plugins.aligner.flow_grpo import FlowGRPO
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.conditioner.rewrite import Rewrite
from genever_plugins.conditioner.text import Text
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.distiller.dmd import DMD
from genever_plugins.distiller.progressive import ProgressiveDistillation
from genever_plugins.guidance.cfg import CFG
from genever_plugins.reward.ink import Ink
from genever_plugins.solver.euler import Euler
from genever_plugins.solver.flow_sde import FlowSDE
from PIL import Image

DATA = ToyData(side=6)
SPEC = DATA.build("train").spec
TEXT = Text(width=16, heads=2, depth=1, max_length=6)

test_low_resolution_of_classes = conformance("conditioner.LowResolution", conditioner=Classes())
test_low_resolution_of_text = conformance("conditioner.LowResolution", conditioner=TEXT)
test_low_resolution_of_nothing_else = conformance("conditioner.LowResolution", conditioner=Unconditional(), max_level=0.0)


def built(**part):
    return LowResolution(**{"conditioner": Classes(), **part}).build(SPEC).eval()


def draws(num=6, rows=None, key=(0, 0, 0)):
    return Draws(key, rows or slice(0, num), num, torch.device("cpu"))


def samples(num=6):
    return DATA.build("train").fetch([number % 48 for number in range(num)])


def composed(**given):
    part = {name: given.pop(name) for name in ("level", "max_level", "base") if name in given}
    conditioner = LowResolution(conditioner=given.pop("conditioner", Classes()), **part)
    return toy_composition(**{"data": DATA, "conditioner": conditioner, **given})


@dataclass(frozen=True)
class Runs:
    """The one run that there is."""

    base: object

    def open(self, name, device):
        assert name == "toys/small"
        return self.base


def cascade(base=None, side=3, **given):
    composition = composed(base="toys/small", **given)
    composition.runs = Runs(base or toy_composition(data=ToyData(side=side), seed=5))
    return composition


# What is shown


@pytest.mark.parametrize(("factor", "side"), [(2.0, 3), (1.5, 4), (4.0, 2)])
def test_image_is_shrunk_as_pillow_does_it(factor, side):
    module, given = built(factor=factor), samples()
    shown = module(module.prepare(given))
    assert module.spec.image_channels == 2
    assert shown.numbers["image_level"].tolist() == [0] * 6
    for image, real in zip(shown.image.flatten(0, 1), given.images.flatten(0, 1), strict=True):
        small = np.array(Image.fromarray(real.numpy()).resize((side, side), Image.Resampling.BICUBIC))
        torch.testing.assert_close(image, torch.from_numpy(small).clamp(-1, 1), atol=1e-6, rtol=1e-5)


def test_image_of_low_resolution_is_taken_as_it_is():
    module, given = built(), samples()
    small = torch.rand(6, 2, 3, 3) * 2 - 1
    assert torch.equal(module(module.prepare(replace(given, images=small))).image, small)


def test_other_condition_is_as_it_would_be_alone():
    module, given = built(conditioner=TEXT), samples()
    alone = module.conditioner(module.conditioner.prepare(given))
    for found in (module(module.prepare(given)), module(module.augment(module.prepare(given), draws()))):
        assert all(torch.equal(getattr(found, name), getattr(alone, name)) for name in ("tokens", "mask", "pooled"))


def test_null_drops_the_label_and_keeps_the_image():
    module = built()
    cond = module.augment(module.prepare(samples()), draws())
    shown, null = module(cond), module(module.null(cond))
    assert null.classes.tolist() == [3] * 6
    assert torch.equal(null.image, shown.image)
    assert torch.equal(null.numbers["image_level"], shown.numbers["image_level"])


def test_network_gets_the_image_at_the_size_and_in_the_precision_of_x():
    composition, seen = composed(), []
    network = composition.model.network
    network.forward = lambda x, t, condition, taps=(): seen.append(condition) or (x, ())
    composition.model(torch.zeros(6, 2, 5, 8).bfloat16(), torch.zeros(6), composition.conditioner.prepare(samples()))
    assert seen[0].image.shape == (6, 2, 5, 8)
    assert seen[0].image.dtype == torch.bfloat16


# Augmentation


def test_level_of_zero_is_no_augmentation():
    module = built(max_level=0.0)
    cond = module.prepare(samples())
    assert torch.equal(module.augment(cond, draws()), cond)


def test_noised_image_lies_on_the_straight_path_at_its_level():
    module = built(max_level=0.5)
    cond = module.prepare(samples())
    found = module(module.augment(cond, draws()))
    level, noise = 0.5 * draws().uniform("low-resolution level"), draws().normal("low-resolution noise", (2, 3, 3))
    assert torch.equal(found.numbers["image_level"], level)
    weight = level.view(6, 1, 1, 1)
    torch.testing.assert_close(found.image, module(cond).image + weight * (noise - module(cond).image))


def test_levels_are_even_up_to_the_largest():
    module = built(max_level=0.5)
    levels = module(module.augment(module.prepare(samples(4000)), draws(4000))).numbers["image_level"]
    torch.testing.assert_close(levels.sort().values, torch.linspace(0, 0.5, 4000), atol=0.02, rtol=0)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_noise_follows_from_seed_step_and_place_alone(accumulate):
    def read(step, **given):
        feed = composed(**given).feed().at(step)
        return torch.cat([next(feed).cond for _ in range(feed.accumulate)])

    assert torch.equal(read(3, accumulate=accumulate), read(3))
    one, other = (built()(cond) for cond in (read(3), read(3, seed=1)))
    assert not torch.isclose(one.numbers["image_level"], other.numbers["image_level"]).any()


def test_noise_leaves_the_rest_of_the_luck_alone():
    plain, noised = (next(composed(max_level=level).feed()) for level in (0.0, 1.0))
    assert torch.equal(plain.noise(), noised.noise())
    dropped = [(batch.training_cond()[:, 1] == 3).tolist() for batch in (plain, noised)]
    assert dropped[0] == dropped[1]


# In a stage


def test_guidance_compares_two_labels_of_one_image():
    composition = composed(backbone=ToyBackbone())
    evaluation = Evaluation(composition, composition.model, ToySolver(), CFG(scale=3.0), num_samples=6)
    given, x, t = samples(), evaluation.noise(6), torch.full((6,), 0.5)
    image = composition.conditioner(composition.conditioner.prepare(given)).image
    network, shown = (
        composition.model.network,
        torch.nn.functional.interpolate(image, (6, 6), mode="bicubic", antialias=True),
    )

    def output(classes):
        condition = replace(composition.conditioner(composition.conditioner.prepare(given)), classes=classes, image=shown)
        return network(x, t, condition)[0]

    null, conditional = output(torch.full((6,), 3)), output(given.labels)
    torch.testing.assert_close(evaluation.field(given).velocity(x, 0.5), null + 3 * (conditional - null))
    assert not torch.allclose(null, conditional)


METHODS = {
    "plain": {},
    "grpo": {"aligner": FlowGRPO(reward=Ink(), solver=FlowSDE(num_steps=3), group_size=4, guidance=ToyGuidance())},
    "dmd": {"distiller": DMD(critic_updates=2, guidance=CFG(scale=2.0))},
    "progressive": {"distiller": ProgressiveDistillation(start_steps=4), "guidance": CFG(scale=2.0)},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_method_trains_under_it(method):
    found = []
    for max_level in (1.0, 1.0, 0.0):
        composition = composed(max_level=max_level, **METHODS[method])
        found.append(take_steps(composition.rounds()[0].start({}), composition))
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert all(np.isfinite(values).all() for values in found[0].values())


def test_resumed_run_ends_with_the_same_bits(toy, tmp_path):
    parts = {"data": DATA, "conditioner": LowResolution(conditioner=ToyConditioner())}
    whole, resumed = (toy.trained(tmp_path / str(stop), stop=stop, **parts) for stop in (None, 2))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_stage_learns_to_read_the_image():
    composition = composed(conditioner=Unconditional(), max_level=0.5, batch_size=48)
    method = composition.rounds()[0].start({})
    take_steps(method, composition, 40)
    batch = next(composition.feed().at(1000))
    others = batch.cond.roll(1, 0)
    with torch.no_grad():
        right, wrong = (method.losses(replace(batch, cond=cond), 0)["loss"] for cond in (batch.cond, others))
    assert float(right) < 0.8 * float(wrong)


# Evaluation, and the cascade


def test_noise_at_evaluation_follows_from_the_number_of_a_sample():
    composition = composed(level=0.4)
    module, given = composition.conditioner, samples(301)
    whole = module(module.asked(given, range(301), composition))
    chosen = replace(given, images=given.images[[300, 5]], labels=given.labels[[300, 5]])
    some = module(module.asked(chosen, [300, 5], composition))
    assert torch.equal(some.image, whole.image[[300, 5]])
    assert some.numbers["image_level"].tolist() == pytest.approx([0.4, 0.4])
    weights = 0.6 * module(module.prepare(given)).image
    assert float(((whole.image - weights) / 0.4).std()) == pytest.approx(1, abs=0.02)


def test_evaluation_shows_real_images_without_a_base():
    composition = composed()
    module, given = composition.conditioner, samples()
    assert torch.equal(module.asked(given, range(6), composition), module.prepare(given))


def test_base_draws_what_evaluation_shows():
    composition = cascade()
    base, module = composition.runs.base, composition.conditioner
    wanted = replace(samples(), labels=torch.full((6,), 2))
    drawn = sample(base, base.model, range(50, 56), solver=base.solver, guidance=None, wanted=wanted).images
    shown = module(module.asked(wanted, range(50, 56), composition))
    assert torch.equal(shown.image, drawn)
    assert shown.classes.tolist() == [2] * 6
    assert torch.equal(module.images(wanted, range(50, 56), composition), drawn)


def test_base_draws_the_same_images_once():
    class Counting(ToySolver):
        calls = 0

        def __call__(self, field, noise, *, generator):
            type(self).calls += 1
            return ToySolver.__call__(self, field, noise, generator=generator)

    composition = cascade(base=toy_composition(data=ToyData(side=3), solver=Counting()))
    for label in (2, 1, 2):
        wanted = replace(samples(), labels=torch.full((6,), label))
        composition.conditioner.asked(wanted, range(6), composition)
    assert Counting.calls == 2


def test_samples_of_a_cascade_follow_its_base():
    one, other = (cascade(base=toy_composition(data=ToyData(side=3), seed=seed)) for seed in (1, 2))
    images = [sample(c, c.model, range(6), solver=ToySolver(), guidance=None).images for c in (one, other, one)]
    assert torch.equal(images[0], images[2])
    assert not torch.equal(images[0], images[1])


def test_training_does_not_look_at_the_base():
    plain, based = composed(), cascade()
    assert torch.equal(next(plain.feed()).cond, next(based.feed()).cond)


def test_rewritten_prompts_reach_what_stands_beneath():
    @dataclass(frozen=True)
    class Shouting:
        def build(self):
            return self

        fingerprint = "shouting"

        def __call__(self, prompts):
            return [f"{prompt} !" for prompt in prompts]

    module = Rewrite(conditioner=LowResolution(conditioner=TEXT), rewriter=Shouting()).build(SPEC)
    composition = composed(conditioner=TEXT)
    plain = composition.conditioner(composition.conditioner.asked(samples(), range(6), composition))
    assert torch.equal(module(module.asked(samples(), range(6), composition)).mask.sum(1), plain.mask.sum(1) + 1)


# What is refused


def test_level_that_no_network_saw_is_refused():
    message = r"LowResolution\.level = 0\.6 is above conditioner\.LowResolution\.max_level = 0\.5"
    with pytest.raises(ValueError, match=message):
        LowResolution(conditioner=Unconditional(), level=0.6, max_level=0.5)


@pytest.mark.parametrize(("factor", "size"), [(1.01, "6x6"), (20.0, "0x0")])
def test_factor_that_leaves_nothing_or_takes_nothing_is_refused(factor, size):
    with pytest.raises(ValueError, match=rf"LowResolution\.factor = {factor} makes {size} of 6x6 pixels\. Choose one that"):
        built(factor=factor)


def test_two_images_are_refused():
    with pytest.raises(ValueError, match=r"^conditioner\.LowResolution\.conditioner shows an image already"):
        built(conditioner=LowResolution(conditioner=Classes()))


def test_base_of_another_size_is_refused_before_training():
    message = r"base = 'toys/small' draws images .* = \(2, 4, 4\), but this stage reads \(2, 3, 3\)\. Choose a factor"
    with pytest.raises(ValueError, match=message):
        cascade(side=4).rounds()
    cascade().rounds()


def test_base_outside_of_any_run_is_refused_before_training():
    with pytest.raises(ValueError, match="the run 'toys/small' cannot be opened"):
        composed(base="toys/small").rounds()


def test_captions_that_are_not_there_are_missed_as_ever():
    with pytest.raises(ValueError, match=r"^conditioner\.Text needs captions, but the data has none"):
        LowResolution(conditioner=TEXT).build(DataSpec(channels=1, height=8, width=8))


def test_image_that_leaves_guidance_out_is_unguided():
    composition = composed(conditioner=Unconditional())
    evaluation = Evaluation(composition, composition.model, Euler(num_steps=2), CFG(scale=3.0), num_samples=6)
    field, x = evaluation.field(samples()), evaluation.noise(6)
    torch.testing.assert_close(field.velocity(x, 0.5), composition.field_of(composition.model, field.cond).velocity(x, 0.5))
