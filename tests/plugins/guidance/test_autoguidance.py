from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from genever.testing import ToyBackbone, ToyGuidance, ToyLoss, ToyPath, toy_composition
from genever.training import Composition, named
from genever.training._guided import with_built_guidance
from genever_plugins.codec.pixels import Pixels
from genever_plugins.conditioner.unconditional import Unconditional
from genever_plugins.distiller.progressive import ProgressiveDistillation
from genever_plugins.guidance.autoguidance import Autoguidance
from genever_plugins.loss.edm import EDM
from genever_plugins.path.linear import Linear


@dataclass
class Bad:
    """`genever.training.Runs`: every name is that of a run with other weights."""

    parts: dict[str, Any]
    opened: int = 0

    def open(self, name: str, device: torch.device) -> Composition:
        self.opened += 1
        return toy_composition(seed=7, **self.parts)


def guided(part: Autoguidance, **bad: Any) -> tuple[Composition, Bad]:
    runs = Bad(bad)
    return toy_composition(guidance=part, runs=runs), runs


def velocities(composition: Composition, t: float = 0.5) -> tuple[torch.Tensor, ...]:
    """Guided, of the good model, and of the bad one."""
    x, cond = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
    bad = toy_composition(seed=7)
    good, worse = composition.field_of(composition.model, cond), bad.field_of(bad.model, cond)
    with torch.no_grad():
        fields = (composition.field_of(composition.model, cond, composition.guidance), good, worse)
        return tuple(field.velocity(x, t) for field in fields)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_output_leads_from_the_bad_model_past_the_good_one(scale: float) -> None:
    found, good, bad = velocities(guided(Autoguidance(run="bad", scale=scale))[0])
    torch.testing.assert_close(found, bad + scale * (good - bad))
    assert not torch.allclose(good, bad)


@pytest.mark.parametrize(("t", "inside"), [(0.2, False), (0.5, True), (0.8, False)])
def test_output_outside_of_the_interval_is_the_good_model_s_to_the_bit(t: float, inside: bool) -> None:
    found, good, _ = velocities(guided(Autoguidance(run="bad", start=0.4, stop=0.6))[0], t)
    assert found.equal(good) != inside


def test_bad_model_is_opened_once_for_all_rounds() -> None:
    composition, runs = guided(Autoguidance(run="bad"))
    again = composition.again()
    assert composition.guidance is composition.guidance
    assert again.guidance is not None
    assert runs.opened == 1


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"loss": ToyLoss(path=ToyPath(stop=0.9))}, "path"),
        ({"loss": ToyLoss(prediction="data")}, "prediction"),
        ({"codec": Pixels()}, "codec"),
        ({"conditioner": Unconditional()}, "condition"),
    ],
)
def test_run_of_another_task_is_refused(bad: dict[str, Any], what: str) -> None:
    composition, _ = guided(Autoguidance(run="bad"), **bad)
    with pytest.raises(ValueError, match=rf"Autoguidance.run = 'bad' is of another task .*its {what} is .*Name a run"):
        composition.rounds()


def test_run_whose_loss_reads_an_output_otherwise_is_refused() -> None:
    runs = Bad({"loss": EDM(path=Linear(), sigma_data=1.0)})
    composition = toy_composition(loss=EDM(path=Linear(), sigma_data=0.5), guidance=Autoguidance(run="bad"), runs=runs)
    with pytest.raises(ValueError, match=r"its loss is EDM\(.*sigma_data=1.0.*, here it is EDM\(.*Name a run that differs"):
        composition.rounds()


def test_smaller_model_of_the_same_task_is_taken() -> None:
    composition, _ = guided(Autoguidance(run="bad"), backbone=ToyBackbone(width=4, depth=1))
    assert composition.guidance is not None
    assert named(composition.guidance) == "Autoguidance(run='bad')"


def test_guidance_that_was_not_built_is_not_asked() -> None:
    x = torch.zeros(1, 1)
    with pytest.raises(AssertionError, match=r"Autoguidance is asked before"):
        Autoguidance(run="bad")(lambda x, t, cond: x, x, x, x, x)


def test_guidance_of_a_teacher_is_built_wherever_it_is_named() -> None:
    guidance = Autoguidance(run="bad", scale=0.0)
    distiller = ProgressiveDistillation(start_steps=2, guidance=guidance)
    method: Any = toy_composition(distiller=distiller, runs=Bad({})).rounds()[0].start({})
    assert method.guidance.part is guidance


def test_guidance_in_the_parts_of_a_part_is_built_and_all_else_left_alone() -> None:
    guidance, other = Autoguidance(run="bad"), ProgressiveDistillation()
    parts = (other, ProgressiveDistillation(guidance=guidance))
    found = with_built_guidance({"some": parts}, lambda named: ToyGuidance())
    assert found["some"][0] is other
    assert found["some"][1] == ProgressiveDistillation(guidance=ToyGuidance())
    assert with_built_guidance(other, lambda named: ToyGuidance()) is other
