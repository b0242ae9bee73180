from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genever.testing import ToyData, ToyLearnableCodec, take_steps
from genever.training import Composition
from genever_plugins.aligner.noisy_classifier import NoisyClassifier, labels_within
from genever_plugins.conditioner.classes import Classes
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.conditioner.text import Text
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.loss.edm import EDM
from genever_plugins.path.linear import Linear
from genever_plugins.tuner.full import Full
from genever_plugins.tuner.lora import LoRA
from torch import Tensor

TEXT = Text(width=8, heads=2, depth=1, max_length=8)
TUNERS = pytest.mark.parametrize("tuner", [Full(), LoRA(rank=4)], ids=lambda one: type(one).__name__)


def composed(toy: Any, **parts: Any) -> tuple[Composition, Any]:
    given = {"data": ToyData(), "aligner": NoisyClassifier(), "conditioner": Unconditional(), **parts}
    composition = toy.compose(**given)
    return composition, composition.rounds()[0].start({})


def shown(composition: Composition) -> list[tuple[Any, ...]]:
    """What the network is shown from now on."""
    seen: list[tuple[Any, ...]] = []
    network: Any = composition.model.network
    network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    return seen


def left_zero(composition: Composition) -> None:
    head = composition.model.get_parameter("heads.labels.linear.weight")
    torch.nn.init.normal_(head, generator=torch.Generator().manual_seed(0))


def test_first_step_costs_the_logarithm_of_the_number_of_classes(toy: Any) -> None:
    composition, method = composed(toy)
    assert method.losses(next(composition.feed()), {})["cross_entropy"].item() == pytest.approx(math.log(3), rel=1e-6)


@TUNERS
def test_classifier_learns_the_probability_of_a_label_at_every_noise(toy: Any, tuner: Any) -> None:
    """Of Normal(-1, 0.5²) and Normal(1, 0.5²): log p(1 | x_t) / p(0 | x_t) = 2 t x_t / (0.25 t² + (1 - t)²)."""
    points = toy.gaussian(mean=(-1.0,), num_classes=2)
    points.images[1::2] += 2
    composition, method = composed(toy, data=points, tuner=tuner, batch_size=256)
    cost = take_steps(method, composition, 150)["model/cross_entropy"]
    batch = next(composition.feed().at(150))
    for t in (0.0, 0.25, 0.5, 0.75, 1.0):
        times = torch.full((256,), t)
        x = method.base.corrupt(batch.x_1, batch.noise(), times)
        wanted = torch.sigmoid(2 * t * x / (0.25 * t**2 + (1 - t) ** 2)).flatten()
        assert (method.reader(x, times).softmax(1)[:, 1] - wanted).abs().mean() < 0.1
    assert sum(cost[-20:]) / 20 < 0.45 < cost[0]


@pytest.mark.parametrize("conditioner", [Classes(), Unconditional(), TEXT], ids=lambda one: type(one).__name__)
def test_condition_never_reaches_the_network(toy: Any, conditioner: Any) -> None:
    composition, method = composed(toy, conditioner=conditioner)
    left_zero(composition)
    seen, batch = shown(composition), next(composition.feed())
    method.losses(batch, {})
    null = composition.model.conditioner(batch.null)
    condition = seen[0][2]
    for name in ("classes", "tokens", "pooled"):
        wanted, found = getattr(null, name), getattr(condition, name)
        assert (found is None) if wanted is None else found.equal(wanted)


def test_network_is_shown_the_noised_latent_as_its_loss_asks(toy: Any) -> None:
    loss = EDM(path=Linear())
    composition, method = composed(toy, loss=loss, codec=ToyLearnableCodec())
    seen, batch = shown(composition), next(composition.feed())
    method.losses(batch, {})
    t = method.base.times(batch)
    x_t = method.base.corrupt(
        composition.codec.encode(batch.images, batch.draws.normal("posterior", (2, 4, 4))), batch.noise(), t
    )
    torch.testing.assert_close(seen[0][:2], loss.inputs(x_t, t))


def test_cost_is_the_cross_entropy_of_the_labels(toy: Any) -> None:
    composition, method = composed(toy)
    left_zero(composition)
    batch, seen = next(composition.feed()), dict[str, Tensor]()
    found = method.losses(batch, seen)["cross_entropy"]
    t = method.base.times(batch)
    p = method.reader(method.base.corrupt(batch.x_1, batch.noise(), t), t).softmax(1)
    torch.testing.assert_close(found, -p[range(len(batch)), batch.samples.labels].log().mean())
    assert seen["accuracy"].item() == pytest.approx((p.argmax(1) == batch.samples.labels).float().mean().item())
    assert found.item() != pytest.approx(math.log(3), abs=1e-3)


def test_cost_does_not_depend_on_how_the_batch_is_split(toy: Any) -> None:
    found = []
    for accumulate in (1, 2):
        composition, method = composed(toy, accumulate=accumulate)
        left_zero(composition)
        terms = take_steps(method, composition, 1)["model/cross_entropy"]
        found.append(sum(terms) / len(terms))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@TUNERS
def test_head_learns_beside_what_the_tuner_lets_learn(toy: Any, tuner: Any) -> None:
    composition, method = composed(toy, tuner=tuner)
    head = {f"model.heads.labels.{name}" for name in ("norm.weight", "norm.bias", "linear.weight", "linear.bias")}
    assert set(method.groups()["model"]) == set(composition.tuned.learns) | head


def test_every_weight_takes_part(toy: Any) -> None:
    composition, method = composed(toy, aligner=NoisyClassifier(tap=1))
    method.losses(next(composition.feed()), {})["cross_entropy"].backward()
    assert [name for name, parameter in method.learns.items() if parameter.grad is None] == []


@TUNERS
def test_classifier_stopped_and_resumed_ends_with_the_same_bits(toy: Any, tmp_path: Any, tuner: Any) -> None:
    parts = {"data": ToyData(), "aligner": NoisyClassifier(), "tuner": tuner}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(resumed[name].equal(value) for name, value in whole.items())
    assert whole["heads.labels.linear.weight"].any()


REFUSED: dict[str, tuple[Callable[[Any], object], str]] = {
    "block": (
        lambda toy: composed(toy, aligner=NoisyClassifier(tap=4)),
        r"aligner.NoisyClassifier.tap = 4 is not a block .* Choose one of 1 .. 3",
    ),
    "no labels": (
        lambda toy: composed(toy, data=toy.gaussian()),
        r"NoisyClassifier tells labels apart, but train.data has none. Name data whose images are labelled",
    ),
    "no null": (
        lambda toy: composed(toy, conditioner=LowResolution(conditioner=Classes())),
        r"train.conditioner = LowResolution\(.*\) keeps something of each image .* Use conditioner.Unconditional",
    ),
    "inside": (
        lambda toy: NoisyClassifier().align(toy.compose().rounds()[0].start({}), toy.compose()),
        r"aligner.NoisyClassifier stands within another aligner",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_classifier_refuses_what_it_cannot_learn(toy: Any, mistake: str) -> None:
    make, message = REFUSED[mistake]
    with pytest.raises(ValueError, match=message):
        make(toy)


@pytest.mark.parametrize("label", [-1, 3, -100])
def test_label_that_is_no_class_is_refused(label: int) -> None:
    with pytest.raises(
        ValueError, match=rf"train.data gives the label {label}, but says that its labels are 0 .. 2. Correct"
    ):
        labels_within(torch.tensor([0, label, 2]), 3)
