"""Guidance by a run that has learned the classes of noisy images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from genever.slots import Loss
from genever.testing import ToyConditioner, ToyData, ToyEncoder, ToyLoss, ToyPath, toy_composition
from genever.training import Composition, Field, LabelReader
from genever_plugins.aligner.noisy_classifier import NoisyClassifier
from genever_plugins.codec.pixels import Pixels
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.guidance.cfg import CFG
from genever_plugins.guidance.classifier_guidance import ClassifierGuidance
from genever_plugins.loss.ddpm import DDPM
from genever_plugins.loss.edm import EDM
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.loss.v_prediction import VPrediction
from genever_plugins.path.linear import Linear
from genever_plugins.path.vp_cosine import VPCosine
from torch import Tensor, nn

LOSSES = [FlowMatching(path=Linear()), DDPM(path=VPCosine()), VPrediction(path=VPCosine())]
MEANS = torch.tensor([-1.0, 0.5, 2.0])


def moments(path: Any, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class, data ~ Normal(mean, 0.5²): log p(x_t | class), and the estimates of x_1 and x_0 [batch, classes]."""
    x, alpha, sigma = x.flatten(1), path.alpha(t).view(-1, 1), path.sigma(t).view(-1, 1)
    variance, away = 0.25 * alpha**2 + sigma**2, x - alpha * MEANS
    return -away.square() / (2 * variance), MEANS + 0.25 * alpha * away / variance, sigma * away / variance


class Mixture(nn.Module):
    """What an ideal network returns of the three classes, all equally frequent; the condition 3 asks for any of them."""

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss
        self.asked_for_gradients: list[bool] = []

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.asked_for_gradients.append(torch.is_grad_enabled())
        log_p, *estimates = moments(self.loss.path, x, t)
        one = nn.functional.one_hot(cond, 4)[:, :3].float()
        weights = torch.where(cond.view(-1, 1) == 3, log_p.softmax(1), one)
        data, noise = ((weights * estimate).sum(1).view(x.shape) for estimate in estimates)
        a, b = (1, -1) if isinstance(self.loss, FlowMatching) else self.loss.mixture(t.view(-1, 1, 1, 1))
        return a * data + b * noise, ()


class Exact(nn.Module):
    """A model whose head knows the probability of each class; it notes what it is shown."""

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.path, self.shown = path, list[tuple[Tensor, ...]]()
        self.heads = nn.ModuleDict({LabelReader.head: nn.Identity()})

    def forward(self, x: Tensor, t: Tensor, cond: Tensor, taps: tuple[str, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        assert taps == ("labels",)
        self.shown.append((x.detach(), t, cond))
        return torch.zeros_like(x), (moments(self.path, x, t)[0],)


@dataclass(frozen=True)
class Opening:
    """`genever.training.Runs`: opens one composition, whatever its name."""

    composition: Composition

    def open(self, name: str, device: torch.device) -> Composition:
        return self.composition


def guided(toy: Any, loss: Loss, run_loss: Loss | None = None, **given: Any) -> tuple[Field, Exact]:
    """A mixture's field, guided by its exact classifier towards the classes 0, 1, 2, 0, ..."""
    data = toy.gaussian(mean=(1.0,), num_classes=3)
    opened = toy.compose(data=data, loss=run_loss or loss, conditioner=Unconditional())
    opened.model = exact = Exact(loss.path)
    part = ClassifierGuidance(run="some/run", **given)
    composition = toy.compose(data=data, loss=loss, conditioner=ToyConditioner(), guidance=part, runs=Opening(opened))
    cond = torch.arange(60) % 3
    return Field(Mixture(loss), loss, cond, guidance=composition.guidance, null=torch.full((60,), 3)), exact


def noise() -> Tensor:
    return 2 * torch.randn(60, 1, 1, 1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_model_of_all_classes_and_an_exact_classifier_are_the_model_of_each_class(toy: Any, loss: Loss, t: float) -> None:
    """grad log p(x_t) + grad log p(y | x_t) = grad log p(x_t | y)."""
    field, _ = guided(toy, loss, guidance=CFG(scale=0.0))
    wanted = Field(field.model, loss, field.cond).velocity(noise(), t)
    unguided = Field(field.model, loss, torch.full((60,), 3)).velocity(noise(), t)
    torch.testing.assert_close(field.velocity(noise(), t), wanted, rtol=1e-3, atol=1e-3)
    assert (unguided - wanted).abs().mean() > 0.1


def test_scale_tells_how_much_of_the_slope_is_added(toy: Any) -> None:
    fields = [guided(toy, LOSSES[0], guidance=CFG(scale=0.0), scale=scale)[0] for scale in (0.0, 1.0, 2.5)]
    none, once, more = (field.velocity(noise(), 0.5) for field in fields)
    torch.testing.assert_close(more - none, 2.5 * (once - none))


def test_classifier_is_shown_x_t_as_its_own_loss_asks_and_no_condition(toy: Any) -> None:
    loss = EDM(path=Linear())
    field, exact = guided(toy, LOSSES[0], run_loss=loss)
    field.velocity(noise(), 0.3)
    wanted = loss.inputs(noise(), torch.full((60,), 0.3))
    torch.testing.assert_close(exact.shown[0], (*wanted, torch.zeros(60, dtype=torch.int64)))


def test_guided_model_is_asked_once_and_for_no_gradient(toy: Any) -> None:
    field, exact = guided(toy, LOSSES[0])
    with torch.no_grad():
        field.velocity(noise(), 0.5)
    model: Any = field.model
    assert model.asked_for_gradients == [False]
    assert len(exact.shown) == 1


def test_classifier_says_nothing_where_no_label_is_asked_for(toy: Any) -> None:
    field, _ = guided(toy, LOSSES[0])
    null = torch.full((60,), 3)
    unasked = Field(field.model, field.loss, null, guidance=field.guidance, null=null)
    assert unasked.velocity(noise(), 0.5).equal(Field(field.model, field.loss, null).velocity(noise(), 0.5))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"data": ToyData(channels=1)}, r"latent is \(1, 4, 4\), here it is \(2, 4, 4\)"),
        ({"codec": Pixels()}, r"codec is Pixels\(\), here it is ToyCodec\(\)"),
        ({"loss": ToyLoss(path=ToyPath(stop=0.9))}, r"path is .*stop=0.9\), here it is .*stop=1.0\)"),
    ],
)
def test_run_of_other_noisy_images_is_refused(other: dict[str, Any], what: str) -> None:
    runs = Opening(toy_composition(aligner=NoisyClassifier(), **other))
    message = rf"ClassifierGuidance.run = 'some/run' is of other noisy images than this stage: its {what}. Train a"
    with pytest.raises(ValueError, match=message):
        toy_composition(guidance=ClassifierGuidance(run="some/run"), runs=runs).rounds()


def test_run_of_other_classes_is_refused(toy: Any) -> None:
    runs = Opening(toy.compose(data=toy.gaussian(num_classes=5), aligner=NoisyClassifier()))
    composition = toy.compose(data=toy.gaussian(num_classes=3), guidance=ClassifierGuidance(run="some/run"), runs=runs)
    with pytest.raises(ValueError, match=r"its number of classes is 5, here it is 3. Train a classifier"):
        composition.rounds()


def test_run_that_tells_no_labels_apart_is_refused() -> None:
    composition = toy_composition(guidance=ClassifierGuidance(run="some/run"), runs=Opening(toy_composition()))
    with pytest.raises(ValueError, match=r"run = 'some/run' is no classifier .* Name a run of aligner.NoisyClassifier"):
        composition.rounds()


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "run is None and guidance.ClassifierGuidance.encoder is None"),
        ({"run": "some/run", "encoder": ToyEncoder()}, "run is 'some/run' and .*encoder is ToyEncoder"),
    ],
)
def test_one_classifier_guides(given: dict[str, Any], found: str) -> None:
    composition = toy_composition(guidance=ClassifierGuidance(**given), runs=Opening(toy_composition()))
    with pytest.raises(ValueError, match=rf"{found}, but one of them is to classify. Set one: a run of"):
        composition.rounds()
