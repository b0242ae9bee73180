from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from genever.runs import RunDirectory
from genever.testing import ToyData, ToyGuidance, ToySolver, take_steps, toy_stage
from genever.training import Draws, Stopped, Trainer, compose, sample
from genever_plugins.aligner.flow_grpo import FlowGRPO
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.conditioner.text import Text
from genever_plugins.data.captioned import Captioned
from genever_plugins.distiller.dmd import DMD
from genever_plugins.optimizer.adamw import AdamW
from genever_plugins.reward.ink import Ink
from genever_plugins.solver.flow_sde import FlowSDE
from genever_plugins.tuner.dream_booth import FIRST, DreamBooth
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA
from genever_plugins.tuner.textual_inversion import TextualInversion

BOOTH = {"labels": (0, 2), "num_prior": 9}


def dreaming(toy, *, tuner=None, start="toy", data=None, **given):
    part = DreamBooth(tuner=tuner or Full(), **{**BOOTH, **given})
    return toy.compose(data=data or ToyData(), start=start, tuner=part, batch_size=8, guidance=ToyGuidance())


def started(composition):
    return composition.rounds()[0].start({})


def begun(composition):
    """The method of a round that begins, with its prior."""
    method = started(composition)
    composition.rounds()[0].prepare(method)
    return method


def prior_of(composition):
    return begun(composition).roles["prior"]


@dataclass(frozen=True, kw_only=True)
class Refusing:
    """A solver that must not be asked."""

    def __call__(self, field, noise, *, generator):
        raise AssertionError


@pytest.mark.parametrize("tuner", [Full(), LoRA(rank=2)])
def test_dream_booth_of_no_weight_trains_as_its_tuner_does_bit_for_bit(toy, tmp_path, tuner):
    given = {"data": ToyData(), "start": "toy", "batch_size": 8}
    plain = toy.trained(tmp_path / "plain", tuner=tuner, **given)
    booth = toy.trained(tmp_path / "booth", tuner=DreamBooth(tuner=tuner, prior_weight=0.0, **BOOTH), **given)
    weighed = toy.trained(tmp_path / "weighed", tuner=DreamBooth(tuner=tuner, **BOOTH), **given)
    assert all(torch.equal(booth[name], one) for name, one in plain.items())
    assert any(not torch.equal(weighed[name], one) for name, one in plain.items())


def test_dream_booth_leaves_the_luck_of_the_data_alone(toy):
    plain = toy.compose(data=ToyData(), start="toy", tuner=Full(), batch_size=8)
    booth = dreaming(toy)
    expected = take_steps(started(plain), plain, 1)["model/loss"]
    assert take_steps(started(booth), booth, 1)["model/loss"] == expected


def test_dream_booth_prior_is_what_the_start_draws_of_the_class(toy):
    composition, plain = dreaming(toy), toy.compose(data=ToyData(), start="toy", guidance=ToyGuidance())
    wanted = replace(plain.data.fetch(range(9)), labels=torch.tensor([0, 2, 0, 2, 0, 2, 0, 2, 0]))
    numbers = range(FIRST, FIRST + 9)
    drawn = sample(plain, plain.model, numbers, solver=ToySolver(num_steps=16), guidance=ToyGuidance(), wanted=wanted)
    prior = prior_of(composition)
    assert prior.cond.tolist() == wanted.labels.tolist()
    assert (prior.images(torch.arange(9)) - drawn.images).abs().max() <= 1 / 255 + 1e-6
    assert prior.images(torch.arange(9)).std() > 0.1


def test_dream_booth_prior_follows_from_the_seed_alone(toy):
    parts = {"data": ToyData(), "start": "toy", "tuner": DreamBooth(tuner=Full(), **BOOTH), "batch_size": 8}
    first = prior_of(toy.compose(seed=1, **parts)).pixels
    torch.manual_seed(99)
    assert torch.equal(prior_of(toy.compose(seed=1, **parts)).pixels, first)
    assert not torch.equal(prior_of(toy.compose(seed=2, **parts)).pixels, first)


def test_dream_booth_term_is_the_weighed_error_on_prior_images(toy):
    composition = dreaming(toy, prior_weight=0.3)
    prior, method, batch = prior_of(composition), started(composition), next(composition.feed().at(5))
    model = method.roles["model"]
    draws = Draws((composition.seed, 5, 0, 1), slice(0, 8), 8, composition.device)
    chosen, t = draws.integers("prior", 9), draws.each("time", lambda num, g: torch.rand(num, generator=g))
    x_1, x_0, wide = prior.images(chosen), draws.normal("noise", (2, 4, 4)), t.view(-1, 1, 1, 1)
    cond = torch.where(draws.uniform("condition dropout") < 0.1, 3, prior.cond[chosen])
    output = model(wide * x_1 + (1 - wide) * x_0, t, cond)[0]
    expected = 0.3 * (output - (x_1 - x_0)).square().mean()
    torch.testing.assert_close(method.losses(batch, 5)["prior"], expected)


def test_dream_booth_gradients_are_those_of_both_terms(toy):
    composition, plain = dreaming(toy, prior_weight=2.0), toy.compose(data=ToyData(), start="toy", batch_size=8)
    method, batch = started(composition), next(composition.feed().at(0))
    losses = method.losses(batch, 0)
    (losses["loss"] + losses["prior"]).backward()
    started(plain).losses(batch, 0)["loss"].backward()
    alone = method.losses(batch, 0)["prior"]
    names, learns = zip(*composition.tuned.learns.items(), strict=True)
    for name, both, extra in zip(names, learns, torch.autograd.grad(alone, learns), strict=True):
        torch.testing.assert_close(both.grad, plain.tuned.learns[name].grad + extra, rtol=1e-4, atol=1e-6)


def test_dream_booth_prior_is_not_made_again_for_a_run_that_goes_on(toy, tmp_path):
    given = {"data": ToyData(), "tuner": DreamBooth(tuner=Full(), **BOOTH), "batch_size": 8, "steps": 2, "sample_images": 0}
    run, asked = RunDirectory.create(tmp_path, "stopped", "0" * 8, {}), iter((1,))
    with pytest.raises(Stopped):
        Trainer(composition=toy.compose(start="toy", **given), run=run, should_stop=lambda: next(asked)).train()
    Trainer(composition=toy.compose(start=None, solver=Refusing(), **given), run=run).train()
    with pytest.raises(AssertionError):
        prior_of(toy.compose(start="toy", solver=Refusing(), **given))


def test_dream_booth_run_goes_on_without_its_start_to_the_same_bits(toy, tmp_path):
    given = {"data": ToyData(), "tuner": DreamBooth(tuner=LoRA(rank=2), **BOOTH), "batch_size": 8, "steps": 4}
    given |= {"optimizer": AdamW(lr=1e-3), "sample_images": 0}
    whole = toy.trained(tmp_path, start="toy", **given)
    run, asked = RunDirectory.create(tmp_path, "stopped", "0" * 8, {}), iter((0, 1))
    first, second = toy.compose(start="toy", **given), toy.compose(start=None, **given)
    with pytest.raises(Stopped):
        Trainer(composition=first, run=run, should_stop=lambda: next(asked)).train()
    Trainer(composition=second, run=run).train()
    ended = second.model.state_dict()
    assert all(torch.equal(ended[name], one) for name, one in whole.items())
    assert torch.equal(started(second).roles["prior"].pixels, started(first).roles["prior"].pixels)


def test_dream_booth_asks_by_captions_where_the_model_reads_them(toy):
    part = DreamBooth(tuner=Full(), captions=("a low one", "a high one"), num_prior=3)
    conditioner = Text(width=8, heads=2, max_length=6)
    composition = toy.compose(data=ToyData(), start="toy", tuner=part, conditioner=conditioner)
    asked = replace(composition.data.fetch(range(3)), captions=("a low one", "a high one", "a low one"))
    assert torch.equal(prior_of(composition).cond, composition.conditioner.prepare(asked))


READING = {"start": "toy", "conditioner": Text(width=8, heads=2, max_length=6), "batch_size": 8}


def inverting(toy, *captions):
    word = TextualInversion(placeholder="<thing>", init="low")
    things = Captioned(data=ToyData(), captions=("a <thing>", "one <thing> of many"))
    return toy.compose(data=things, tuner=DreamBooth(tuner=word, captions=captions, num_prior=4), **READING)


def test_dream_booth_around_an_inversion_trains_its_vectors_alone_beside_the_prior_of_its_first_word(toy):
    composition, known = inverting(toy, "a <thing> one", "a high one"), ("a low one", "a high one")
    plain = toy.compose(data=ToyData(), tuner=DreamBooth(tuner=Full(), captions=known, num_prior=4), **READING)
    before = {name: one.clone() for name, one in composition.model.state_dict().items()}
    assert torch.equal(prior_of(composition).pixels, prior_of(plain).pixels)
    seen, wanted = (take_steps(begun(one), one)["model/prior"] for one in (composition, plain))
    after = composition.model.state_dict()
    assert {name for name, one in before.items() if not torch.equal(after[name], one)} == {"conditioner.added"}
    assert seen[0] == wanted[0] > 0


def test_dream_booth_prior_is_what_an_inverted_word_learns_from_too(toy):
    composition = inverting(toy, "a <thing> one")
    prior = begun(composition).losses(next(composition.feed().at(0)), 0)["prior"]
    (gradient,) = torch.autograd.grad(prior, list(composition.tuned.learns.values()))
    assert gradient.abs().min() > 0


def test_dream_booth_whose_prior_teaches_an_inverted_word_nothing_is_refused(toy):
    with pytest.raises(
        ValueError, match=r"^No caption of tuner\.DreamBooth\.captions says '<thing>', and .* Write '<thing>'"
    ):
        inverting(toy, "a low one", "a high one")


def test_dream_booth_keeps_what_its_tuner_does(toy):
    plain = toy.compose(data=ToyData(), start="toy", tuner=LoRA(rank=2))
    assert dreaming(toy, tuner=LoRA(rank=2)).tuned.learns.keys() == plain.tuned.learns.keys()


@pytest.mark.parametrize("given", [{"captions": ("a", "b"), "labels": (0,)}, {"captions": None, "labels": None}])
def test_dream_booth_wants_captions_or_labels(given):
    with pytest.raises(ValueError, match=r"^tuner\.DreamBooth\.captions = .* Set one of the two: what the model reads\.$"):
        DreamBooth(tuner=Full(), **given)


def test_dream_booth_of_what_the_model_does_not_read_is_refused(toy):
    with pytest.raises(ValueError, match=r"captions is set, but this stage's conditioner reads no captions\. Set .*labels"):
        dreaming(toy, captions=("a",), labels=None)
    with pytest.raises(ValueError, match=r"labels is set, but this stage's conditioner reads no labels\. Set .*captions"):
        toy.compose(data=ToyData(), start="toy", tuner=DreamBooth(tuner=Full(), **BOOTH), conditioner=Text(width=8, heads=2))
    with pytest.raises(ValueError, match=r"^tuner\.DreamBooth\.labels has 3, but the data has 3 classes, counted from 0\."):
        dreaming(toy, labels=(1, 3))


def test_dream_booth_of_what_is_shown_an_image_is_refused(toy):
    part = DreamBooth(tuner=LoRA(), **BOOTH)
    given = {"data": ToyData(), "start": "toy", "conditioner": LowResolution(conditioner=Classes())}
    with pytest.raises(ValueError, match=r"^tuner\.DreamBooth asks for .* shows an image beside them\. .* = @LoRA\(\), or"):
        toy.compose(tuner=part, **given)
    assert toy.compose(tuner=replace(part, prior_weight=0.0), **given).tuned.learns


@pytest.mark.parametrize(
    ("slot", "part"),
    [
        ("distiller", DMD()),
        ("aligner", FlowGRPO(reward=Ink(), solver=FlowSDE(num_steps=3), group_size=4)),
    ],
)
def test_dream_booth_beside_what_replaces_the_base_method_is_refused(toy, slot, part):
    stage = toy_stage(data=ToyData(), start="toy", tuner=DreamBooth(tuner=Full(), **BOOTH), **{slot: part})
    composition = compose(stage, device=torch.device("cpu"))
    if slot == "distiller":
        composition.start_model = composition.model
    with pytest.raises(ValueError, match=rf"^train\.tuner = DreamBooth adds to .* train\.{slot} = \w+ replaces\. Do one in"):
        composition.rounds()
