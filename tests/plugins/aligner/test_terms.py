"""What all aligners that add a term promise."""

from __future__ import annotations

import pytest
import torch
from genever.testing import ToyBackbone, ToyEncoder
from genever.training import Regression
from genever_plugins.aligner.dispersive import Dispersive
from genever_plugins.aligner.irepa import IREPA
from genever_plugins.aligner.repa import REPA
from genever_plugins.aligner.self_alignment import SelfAlignment
from genever_plugins.aligner.together import Together
from genever_plugins.average.constant import Constant
from genever_plugins.tuner.lora import LoRA


def made(kind, **settings):
    """An aligner that reads block 2 of a backbone of three."""
    given = {
        "REPA": {"encoder": ToyEncoder(), "tap": 2, "projector_width": 16},
        "IREPA": {"encoder": ToyEncoder(), "tap": 2},
        "Dispersive": {"tap": 2},
        "SelfAlignment": {"average": Constant(decay=0.5), "tap": 2, "teacher_tap": 3, "weight": 1.0},
    }
    kinds = {"REPA": REPA, "IREPA": IREPA, "Dispersive": Dispersive, "SelfAlignment": SelfAlignment}
    if kind == "Together":
        return Together(aligners=[made(name, **settings) for name in ("Dispersive", "SelfAlignment", "REPA")])
    return kinds[kind](**{**given[kind], **settings})


EACH = ("REPA", "IREPA", "Dispersive", "SelfAlignment")
ALL = (*EACH, "Together")


def composed(toy, aligner, **parts):
    composition = toy.compose(data=toy.gaussian(side=2), aligner=aligner, batch_size=8, **parts)
    method = composition.rounds()[0].start({})
    assert isinstance(method, Regression)
    return composition, method


def losses(composition, method, step=3):
    return next(method.updates(composition.feed().at(step), step)).loss()


def gradients(composition, method, *, of_terms_alone=False):
    """The gradient of each parameter of any role at one step."""
    terms = losses(composition, method)
    sum(value for name, value in terms.items() if not (of_terms_alone and name == "loss")).backward()
    return {f"{role}.{name}": p.grad for role, one in method.roles.items() for name, p in one.named_parameters()}


@pytest.mark.parametrize("kind", ALL)
def test_step_at_weight_zero_has_the_bits_of_the_base_method(toy, kind):
    base = gradients(*composed(toy, None))
    off = gradients(*composed(toy, made(kind, weight=0.0)))
    assert all(torch.equal(off[name], gradient) for name, gradient in base.items())
    assert all(gradient is None for name, gradient in off.items() if name not in base)


@pytest.mark.parametrize("kind", ALL)
def test_base_loss_and_its_luck_are_left_alone(toy, kind):
    plain, aligned = losses(*composed(toy, None)), losses(*composed(toy, made(kind)))
    assert torch.equal(plain["loss"], aligned["loss"])
    assert len(aligned) > 1


@pytest.mark.parametrize("kind", ALL)
def test_term_reaches_the_blocks_up_to_its_tap_and_nothing_that_is_not_taught(toy, kind):
    _, method = aligned = composed(toy, made(kind))
    found = gradients(*aligned, of_terms_alone=True)
    reached = {name for name, gradient in found.items() if gradient is not None and gradient.any()}
    assert any(name.startswith("model.network.blocks.1.") for name in reached)
    assert not any(name.startswith(("model.network.blocks.2.", "model.network.last")) for name in reached)
    assert reached <= set(method.groups()["model"])


@pytest.mark.parametrize("kind", ALL)
def test_whole_loss_reaches_everything_that_learns(toy, kind):
    _, method = aligned = composed(toy, made(kind))
    found = gradients(*aligned)
    assert {name for name, gradient in found.items() if gradient is not None} == set(method.groups()["model"])


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize("tap", [3, 99])
def test_tap_that_is_no_block_is_refused_by_name(toy, kind, tap):
    beyond = {"tap": tap, "teacher_tap": tap} if kind == "SelfAlignment" else {"tap": tap}
    with pytest.raises(ValueError, match=rf"aligner\.{kind}\.tap = {tap} is not a block .*Choose one of 1 .. 2"):
        composed(toy, made(kind, **beyond), backbone=ToyBackbone(depth=2))


@pytest.mark.parametrize("kind", ["SelfAlignment", "Together"])
def test_networks_start_from_the_seed_alone(toy, kind):
    first = composed(toy, made(kind))[1]
    torch.manual_seed(5)
    again = composed(toy, made(kind))[1]
    assert all(
        torch.equal(value, again.roles[role].state_dict()[name])
        for role, module in first.roles.items()
        for name, value in module.state_dict().items()
    )


@pytest.mark.parametrize("kind", ["IREPA", "SelfAlignment", "Together"])
def test_run_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path, kind):
    parts = {"aligner": made(kind), "tuner": LoRA(rank=2), "data": toy.gaussian(side=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
