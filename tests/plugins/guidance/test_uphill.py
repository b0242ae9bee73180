from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from genever.slots import Loss
from genever.testing import ToyConditioner, ToyData, ToyEncoder, ToyReward, conformance, toy_composition
from genever.training import Composition, Field, Scorer, sample
from genever_plugins.conditioner.text import Text
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.guidance._slope import with_more_score
from genever_plugins.guidance.cfg import CFG
from genever_plugins.guidance.classifier_guidance import ClassifierGuidance
from genever_plugins.guidance.reward_guidance import RewardGuidance
from genever_plugins.loss.ddpm import DDPM
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.linear import Linear
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.solver.heun import Heun
from torch import Tensor

LOSSES = [FlowMatching(path=Linear()), DDPM(path=VPCosine()), VPrediction(path=VPCosine())]


test_guidance_by_a_classifier_of_clean_images = conformance("guidance.ClassifierGuidance", encoder=ToyEncoder())


class Gaussian(torch.nn.Module):
    """What an ideal network returns for data ~ Normal(cond, 0.5²)."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        t, mean = t.view(-1, 1, 1, 1), cond.view(-1, 1, 1, 1)
        alpha, sigma = self.loss.path.alpha(t), self.loss.path.sigma(t)
        away = (x - alpha * mean) / (0.25 * alpha**2 + sigma**2)
        a, b = (1, -1) if isinstance(self.loss, FlowMatching) else self.loss.mixture(t)
        return a * (mean + 0.25 * alpha * away) + b * sigma * away, ()


def noise(num: int = 64) -> Tensor:
    return torch.randn(num, 1, 1, 1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_samples_under_a_linear_reward_are_those_of_the_tilted_gaussian(loss: Loss, toy: Any) -> None:
    """p(x) exp(3 x) of Normal(1, 0.5²) is Normal(1 + 3 · 0.5², 0.5²)."""
    composition = toy.compose(data=toy.gaussian(mean=(1.0,)), loss=loss, conditioner=Unconditional())
    reward: Any = ToyReward()
    ones, guidance = torch.ones(64), composition.build_guidance(RewardGuidance(reward=reward, scale=3.0))
    field = Field(Gaussian(loss), loss, ones, guidance=guidance, null=ones)
    x = Heun(num_steps=50)(field, noise(), generator=torch.Generator())
    torch.testing.assert_close(x, 1.75 + 0.5 * noise(), rtol=0, atol=0.03)


@pytest.mark.parametrize("loss", [*LOSSES, EDM(path=Linear())], ids=lambda loss: type(loss).__name__)
def test_output_with_more_score_has_just_that_much_more(loss: Loss) -> None:
    x, output, more = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.3, 0.5, 0.8, 0.97])
    found = loss.score(with_more_score(loss, output, x, t, more), x, t) - loss.score(output, x, t)
    torch.testing.assert_close(found, more, rtol=1e-3, atol=1e-4)


def test_output_at_the_ends_of_the_path_is_left_as_it_was() -> None:
    x, output, more = torch.randn(3, 2, 1, generator=torch.Generator().manual_seed(0))
    assert with_more_score(LOSSES[0], output, x, torch.tensor([0.0, 1.0]), more).equal(output)


def classified(toy: Any, **given: Any) -> tuple[Composition, Field]:
    """A model of Gaussians, guided towards the labels of the toy classifier: class 2 is bright."""
    part = ClassifierGuidance(encoder=ToyEncoder(), **given)
    data = toy.gaussian(mean=(1.0,), num_classes=3)
    composition = toy.compose(data=data, loss=LOSSES[0], conditioner=ToyConditioner(), guidance=part)
    model = Gaussian(LOSSES[0])
    model.conditioner = composition.conditioner
    cond = torch.full((64,), 2)
    return composition, Field(model, LOSSES[0], cond, guidance=composition.guidance, null=torch.full((64,), 3))


@pytest.mark.parametrize("t", [0.3, 0.7])
def test_classifier_adds_the_slope_of_its_logarithm_at_the_estimate(t: float, toy: Any) -> None:
    composition, field = classified(toy, scale=0.4)
    x, plain = noise().double(), Field(field.model, field.loss, field.cond)

    def height(x: Tensor) -> Tensor:
        classifier: Any = ToyEncoder().build(composition, (1, 1))
        logits = classifier.logits(plain.data(x, t))
        return torch.log_softmax(logits, 1)[:, 2].view(-1, 1, 1, 1)

    slope = (height(x + 1e-3) - height(x - 1e-3)) / 2e-3
    torch.testing.assert_close(field.velocity(x, t), plain.velocity(x, t) + (1 - t) / t * 0.4 * slope, rtol=1e-2, atol=1e-3)


def test_classifier_says_nothing_where_no_label_is_asked_for(toy: Any) -> None:
    _, field = classified(toy)
    assert field.null is not None
    unasked = Field(field.model, field.loss, field.null, guidance=field.guidance, null=field.null)
    assert unasked.velocity(noise(), 0.5).equal(Field(field.model, field.loss, field.null).velocity(noise(), 0.5))


@pytest.mark.parametrize(("t", "inside"), [(0.2, False), (0.5, True), (0.8, False)])
def test_classifier_says_nothing_outside_of_its_interval(t: float, inside: bool, toy: Any) -> None:
    _, field = classified(toy, start=0.4, stop=0.6)
    plain = Field(field.model, field.loss, field.cond)
    assert field.velocity(noise(), t).equal(plain.velocity(noise(), t)) != inside


def test_reward_changes_the_output_of_another_guidance() -> None:
    inner = CFG(scale=3.0)
    parts = {"scale": 0.0, "reward": ToyReward()}
    composition = toy_composition(guidance=RewardGuidance(guidance=inner, **parts))
    x, cond = torch.randn(4, 2, 4, 4), torch.zeros(4, dtype=torch.int64)
    found, wanted = (
        composition.field_of(composition.model, cond, guidance).velocity(x, 0.5)
        for guidance in (composition.guidance, inner)
    )
    torch.testing.assert_close(found, wanted)


def test_classifier_refuses_a_model_that_reads_no_labels() -> None:
    composition = toy_composition(guidance=ClassifierGuidance(encoder=ToyEncoder()), conditioner=Unconditional())
    with pytest.raises(ValueError, match=r"ClassifierGuidance guides towards the label .* conditioner reads none"):
        composition.rounds()


TEXT = Text(width=8, heads=2, depth=1, max_length=8)


@dataclass(frozen=True)
class OfCaptions:
    """Brightness, as often as the caption has words."""

    def build(self, composition: Composition) -> Any:
        return lambda images, samples: (
            images.flatten(1).mean(1) * torch.tensor([float(len(one.split())) for one in samples.captions])
        )


@dataclass(frozen=True)
class Reads:
    """What a model of captions has learned of images."""

    def build(self, composition: Composition) -> Scorer:
        reads = toy_composition(conditioner=TEXT)
        return Scorer(model=reads.model, composition=reads)


@pytest.mark.parametrize("conditioner", [TEXT, Unconditional()], ids=lambda one: type(one).__name__)
def test_samples_under_a_reward_of_captions_are_those_of_each_captions_tilted_gaussian(toy: Any, conditioner: Any) -> None:
    """p(x) exp(n x) of Normal(1, 0.5²) is Normal(1 + n · 0.5², 0.5²) for a caption of n words."""
    composition = toy.compose(data=ToyData(channels=1, side=1, num_samples=256), loss=LOSSES[0], conditioner=conditioner)
    guidance = composition.build_guidance(RewardGuidance(reward=OfCaptions(), scale=1.0))
    samples = replace(composition.data.fetch(range(64)), captions=("bright", "a very bright one") * 32)
    cond = composition.conditioner.prepare(samples)
    field = composition.field_of(Centred(), cond, guidance, samples)
    x = Heun(num_steps=50)(field, noise(), generator=torch.Generator())
    more = torch.tensor([0.25, 1.0]).repeat(32).view(-1, 1, 1, 1)
    torch.testing.assert_close(x, 1.0 + more + 0.5 * noise(), rtol=0, atol=0.03)


class Centred(Gaussian):
    """Normal(1, 0.5²), whatever is asked for."""

    def __init__(self) -> None:
        super().__init__(LOSSES[0])

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return super().forward(x, t, torch.ones(len(x)))


def test_reward_of_captions_reads_none_where_the_condition_is_left_out(toy: Any) -> None:
    composition = toy.compose(data=ToyData(), conditioner=TEXT)
    samples = composition.data.fetch(range(4))
    null = composition.conditioner.null(composition.conditioner.prepare(samples))
    guidance = composition.build_guidance(RewardGuidance(reward=OfCaptions()))
    guided, plain = (composition.field_of(composition.model, null, one, samples) for one in (guidance, None))
    x = torch.randn(4, 2, 4, 4)
    torch.testing.assert_close(guided.velocity(x, 0.5), plain.velocity(x, 0.5))


def test_captions_reach_a_guidance_inside_of_another(toy: Any) -> None:
    parts = {"data": ToyData(), "conditioner": TEXT}
    inner = RewardGuidance(reward=OfCaptions())
    composition = toy.compose(**parts, guidance=RewardGuidance(reward=ToyReward(), scale=0.0, guidance=inner))
    samples = composition.data.fetch(range(4))
    cond, x = composition.conditioner.prepare(samples), torch.randn(4, 2, 4, 4)
    found, wanted = (
        composition.field_of(composition.model, cond, composition.build_guidance(one), samples).velocity(x, 0.5)
        for one in (composition.stage.guidance, inner)
    )
    torch.testing.assert_close(found, wanted)


def test_samples_are_drawn_by_a_reward_that_reads_their_captions(toy: Any) -> None:
    seen: list[tuple[str, ...]] = []

    @dataclass(frozen=True)
    class Noting:
        def build(self, composition: Composition) -> Any:
            return lambda images, samples: seen.append(samples.captions) or images.flatten(1).mean(1)

    composition = toy.compose(data=ToyData(), conditioner=TEXT, guidance=RewardGuidance(reward=Noting()))
    wanted = composition.validation.fetch(range(5))
    parts = {"solver": Heun(num_steps=1), "guidance": composition.guidance, "batch_size": 3}
    sample(composition, composition.model, range(5), **parts)
    assert set(seen) == {wanted.captions[:3], wanted.captions[3:]}


def test_reward_that_reads_captions_of_data_without_any_is_refused(toy: Any) -> None:
    composition = toy.compose(guidance=RewardGuidance(reward=Reads()))
    with pytest.raises(ValueError, match=r"RewardGuidance\.reward reads captions, but train\.data has none\. Name a reward"):
        composition.rounds()


def test_reward_that_reads_captions_of_whoever_knows_none_is_refused() -> None:
    composition = toy_composition(guidance=RewardGuidance(reward=Reads()))
    cond = composition.conditioner.prepare(composition.data.fetch(range(2)))
    with pytest.raises(ValueError, match=r"reads captions, but whoever guides here does not know .* Leave the guidance out"):
        composition.field_of(composition.model, cond, composition.guidance).velocity(torch.randn(2, 2, 4, 4), 0.5)
