from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from genever.testing import take_steps
from genever.training import Composition
from genever_plugins.aligner.repa import REPA
from genever_plugins.tuner.lora import LoRA
from torch import nn


class Features(nn.Module):
    """Some fixed, non-linear features of each pixel."""

    width = 5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, self.width)

    def forward(self, images):
        return self.linear(images.flatten(2).transpose(1, 2)).sin()


@dataclass(frozen=True, kw_only=True)
class Sines:
    def build(self, composition: Composition, grid: tuple[int, int]) -> nn.Module:
        return Features(composition.data.spec.channels)


def repa(**settings):
    return REPA(**{"encoder": Sines(), "tap": 2, "projector_width": 16, **settings})


def composed(toy, aligner, **parts):
    composition = toy.compose(data=toy.gaussian(side=2), aligner=aligner, batch_size=8, **parts)
    return composition, composition.rounds()[0].start({})


def gradients(composition, method, term=None, step=0):
    """The gradient of each parameter at one step, from all terms or from one."""
    terms = next(method.updates(composition.feed().at(step), step)).loss()
    (terms[term] if term else sum(terms.values())).backward()
    return {name: p.grad for name, p in method.groups()["model"].items()}


@pytest.mark.parametrize("settings", [{"weight": 0.0}, {"stop_step": 3}])
def test_repa_when_off_is_bit_identical_to_the_base_method(toy, settings):
    base = gradients(*composed(toy, None), step=3)
    off = gradients(*composed(toy, repa(**settings)), step=3)
    assert all(torch.equal(off[name], gradient) for name, gradient in base.items())
    assert all(gradient is None for name, gradient in off.items() if name not in base)


def test_repa_acts_until_the_step_before_its_stop(toy):
    composition, method = composed(toy, repa(stop_step=3))
    shown = [set(next(method.updates(composition.feed().at(step), step)).loss()) for step in (0, 2, 3)]
    assert shown == [{"loss", "alignment"}, {"loss", "alignment"}, {"loss"}]


def test_repa_leaves_the_base_loss_and_its_luck_alone(toy):
    (composition, base), (_, aligned) = composed(toy, None), composed(toy, repa())
    losses = [next(method.updates(composition.feed().at(5), 5)).loss()["loss"] for method in (base, aligned)]
    assert torch.equal(*losses)


def test_repa_sends_no_gradient_to_blocks_after_its_tap_nor_to_the_encoder(toy):
    composition, method = composed(toy, repa(tap=2))
    found = gradients(composition, method, "alignment")
    reached = {name for name, gradient in found.items() if gradient is not None and gradient.any()}
    assert any(name.startswith("model.network.blocks.1.") for name in reached)
    assert not any(name.startswith(("model.network.blocks.2.", "model.network.last")) for name in reached)
    assert all(p.grad is None and not p.requires_grad for p in method.roles["encoder"].parameters())


def test_repa_learns_the_projector_with_the_model_and_never_the_encoder(toy):
    _, method = composed(toy, repa())
    assert {name.split(".")[0] for name in method.groups()["model"]} == {"model", "projector"}
    assert method.frozen == {"encoder"}


def test_repa_term_is_the_weighed_negated_mean_cosine_of_its_tap_projected(toy):
    composition, method = composed(toy, repa(weight=0.7, tap=2))
    batch, seen = next(composition.feed()), []
    composition.model.network.blocks[1].register_forward_hook(lambda block, inputs, output: seen.append(output))
    found = method.losses(batch, 0)["alignment"]
    projected, targets = method.roles["projector"](*seen), method.roles["encoder"](batch.images)
    lengths = projected.square().sum(2).sqrt() * targets.square().sum(2).sqrt()
    cosines = (projected * targets).sum(2) / lengths
    assert cosines.std() > 0.05
    torch.testing.assert_close(found, -0.7 * cosines.mean())


def test_repa_term_is_minus_its_weight_where_features_agree_at_any_scale(toy):
    composition, method = composed(toy, repa(weight=0.7))
    batch = next(composition.feed())
    targets = method.roles["encoder"](batch.images)
    found = []
    for scale in (1.0, 20.0):
        method.roles["projector"].forward = lambda features, scale=scale: scale * targets
        found.append(method.losses(batch, 0)["alignment"].item())
    assert found == pytest.approx([-0.7, -0.7], abs=1e-6)


def test_repa_training_aligns_features_and_keeps_the_encoder(toy):
    composition, method = composed(toy, repa(weight=1.0))
    before = {name: value.clone() for name, value in method.roles["encoder"].state_dict().items()}
    seen = take_steps(method, composition, 60, rate=3e-3)["model/alignment"]
    assert seen[-1] < seen[0] - 0.3
    assert all(torch.equal(value, before[name]) for name, value in method.roles["encoder"].state_dict().items())


def test_repa_projector_starts_from_the_seed_alone(toy):
    first = composed(toy, repa())[1].roles["projector"].state_dict()
    torch.manual_seed(5)
    again = composed(toy, repa())[1].roles["projector"].state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


@pytest.mark.parametrize("tap", [4, 99])
def test_repa_names_the_blocks_where_its_tap_is_none(toy, tap):
    with pytest.raises(ValueError, match=rf"aligner.REPA.tap = {tap} is not a block .*Choose one of 1 .. 3"):
        composed(toy, repa(tap=tap))


def test_repa_method_state_is_empty_and_loads(toy):
    _, method = composed(toy, repa())
    method.load_state_dict(method.state_dict())
    assert method.state_dict() == {}


def test_repa_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"aligner": repa(stop_step=3), "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
