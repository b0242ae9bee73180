from dataclasses import dataclass
from typing import Any

import pytest
import torch
from genever.errors import UserError
from genever.testing import ToyConditioner, toy_composition
from genever.training import Composition, Field
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.distiller.progressive import ProgressiveDistillation
from genever_plugins.guidance.cfg import CFG
from genever_plugins.loss.flow_matching import FlowMatching
from genever_plugins.path.linear import Linear
from genever_plugins.solver.heun import Heun
from torch import Tensor


class Gaussians(torch.nn.Module):
    """The exact velocity of data ~ Normal(cond, 0.5²), which also counts the samples that it was shown."""

    seen = 0

    def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        self.seen += len(x)
        t, mean = t.view(-1, 1), cond.view(-1, 1)
        total = 0.25 * t**2 + (1 - t) ** 2
        data = mean + 0.25 * t / total * (x - t * mean)
        noise = (1 - t) / total * (x - t * mean)
        return data - noise, ()


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(64, 1, generator=torch.Generator().manual_seed(0))


def outputs(guidance: CFG | None, x: Tensor, t: Tensor | float = 0.5) -> tuple[Tensor, int]:
    model = Gaussians()
    ones = torch.ones(len(x))
    field = Field(model, FlowMatching(path=Linear()), 3 * ones, guidance=guidance, null=ones)
    return field.velocity(x, t), model.seen


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_guided_gaussian_is_the_gaussian_around_the_extrapolated_mean(scale: float, noise: Tensor) -> None:
    ones = torch.ones(64)
    field = Field(Gaussians(), FlowMatching(path=Linear()), 3 * ones, guidance=CFG(scale=scale), null=ones)
    x = Heun(num_steps=100)(field, noise, generator=torch.Generator())
    torch.testing.assert_close(x, 1 + scale * (3 - 1) + 0.5 * noise, rtol=0, atol=2e-3)


def test_scale_of_one_is_the_conditional_output_from_a_batch_that_is_not_doubled(noise: Tensor) -> None:
    plain, guided = outputs(None, noise), outputs(CFG(scale=1.0), noise)
    assert guided[0].equal(plain[0])
    assert guided[1] == plain[1] == 64


def test_guidance_takes_one_doubled_batch(noise: Tensor) -> None:
    assert outputs(CFG(scale=2.0), noise)[1] == 128


@pytest.mark.parametrize(("t", "inside"), [(0.2, False), (0.4, True), (0.6, True), (0.7, False)])
def test_guidance_outside_of_its_interval_is_the_conditional_output_to_the_bit(
    t: float, inside: bool, noise: Tensor
) -> None:
    guided, _ = outputs(CFG(scale=3.0, start=0.3, stop=0.65), noise, t)
    other = CFG(scale=3.0) if inside else None
    assert guided.equal(outputs(other, noise, t)[0])


def test_interval_is_read_for_each_sample(noise: Tensor) -> None:
    guided, _ = outputs(CFG(scale=3.0, start=0.5), noise[:2], torch.tensor([0.2, 0.9]))
    first, _ = outputs(None, noise[:2], 0.2)
    second, _ = outputs(CFG(scale=3.0), noise[:2], 0.9)
    torch.testing.assert_close(guided, torch.stack([first[0], second[1]]))


@pytest.mark.parametrize("rescale", [0.5, 1.0])
def test_rescaled_output_has_the_standard_deviation_of_the_conditional_one(rescale: float) -> None:
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    t, cond, null = torch.zeros(4), torch.ones(4), torch.zeros(4)
    unit = {"x": x, "t": t, "cond": cond, "null": null}

    def predict(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        return x * (1 + cond).view(-1, 1)

    guided, plain = CFG(scale=3.0)(predict, **unit), CFG(scale=1.0)(predict, **unit)
    expected = (1 - rescale) * guided.std(1) + rescale * plain.std(1)
    torch.testing.assert_close(CFG(scale=3.0, rescale=rescale)(predict, **unit).std(1), expected)


@dataclass
class Lineage:
    """`genever.training.Runs`: a run that was trained with some share of conditions dropped, or is gone."""

    dropout: float | None

    def open(self, name: str, device: torch.device) -> Composition:
        if self.dropout is None:
            raise UserError("there is no such run")
        return toy_composition(conditioner=ToyConditioner(dropout=self.dropout))


def composed(guidance: CFG, **parts: Any) -> Composition:
    return toy_composition(guidance=guidance, **{"conditioner": ToyConditioner(dropout=0.0), **parts})


@pytest.mark.parametrize("parts", [{}, {"start": "toy", "runs": Lineage(0.0)}])
def test_model_that_never_went_without_its_condition_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"CFG.scale = 2.0 .* never seen: conditioner.ToyConditioner.dropout is 0. Train"):
        composed(CFG(scale=2.0), **parts).rounds()


def test_teacher_that_never_went_without_its_condition_is_refused() -> None:
    distiller = ProgressiveDistillation(start_steps=2, guidance=CFG(scale=2.0))
    with pytest.raises(ValueError, match=r"CFG.scale = 2.0 compares"):
        toy_composition(distiller=distiller, conditioner=ToyConditioner(dropout=0.0), runs=Lineage(0.0)).rounds()


@pytest.mark.parametrize(
    "parts",
    [
        {"conditioner": Unconditional()},
        {"start": "toy", "runs": Lineage(0.1)},
        {"start": "toy", "runs": Lineage(None)},
    ],
)
def test_model_that_may_know_how_to_go_without_is_guided(parts: dict[str, Any]) -> None:
    assert composed(CFG(scale=2.0), **parts).rounds()


def test_scale_of_one_asks_for_nothing() -> None:
    assert composed(CFG(scale=1.0)).rounds()
