"""An image as a condition: further channels, and the level of its noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.command import main
from genever_plugins.backbone.image_condition import ClassAndLevel, beside
from torch import nn

able = pytest.mark.parametrize("name", ["DiT", "UNet"])
KINDS = pytest.mark.parametrize("kind", ["image", "classes, image", "text, image"])


def inputs(kit, kind):
    other, generator = kind.replace(", image", "").replace("image", "none"), torch.Generator().manual_seed(3)
    x, t, condition = kit.inputs(other)
    image = torch.randn(3, 2, *x.shape[2:], generator=generator)
    return x, t, replace(condition, image=image, image_level=torch.tensor([0.0, 0.3, 1.0]))


@able
@KINDS
def test_output_depends_on_the_image_and_on_its_level(kit, name, kind):
    network = kit.network(name, kind)
    x, t, condition = inputs(kit, kind)
    first = network(x, t, condition)[0]
    assert first.shape == x.shape
    for other in (replace(condition, image=condition.image + 0.1), replace(condition, image_level=torch.full((3,), 0.5))):
        assert (network(x, t, other)[0] - first).flatten(1).abs().amax(1).min() > 1e-4


@able
@KINDS
def test_every_weight_gets_a_gradient(kit, name, kind):
    network = kit.network(name, kind)
    network(*inputs(kit, kind))[0].square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [key for key in idle if "to_k.bias" not in key] == []


@able
def test_network_without_an_image_has_the_weights_it_always_had(kit, name):
    plain, shown = (set(kit.network(name, kind).state_dict()) for kind in ("none", "image"))
    assert plain < shown
    assert not any("level" in key for key in plain)


@able
def test_output_starts_at_zero_with_an_image_too(kit, name):
    network = kit.small(name).build(kit.latent, kit.specs["classes, image"])
    assert not network(*inputs(kit, "classes, image"))[0].any()


def test_image_stands_behind_the_channels_of_x(kit):
    x, _, condition = inputs(kit, "image")
    both = beside(x, condition)
    assert torch.equal(both[:, :3], x)
    assert torch.equal(both[:, 3:], condition.image)
    assert beside(x, replace(condition, image=None)) is x


def test_class_and_level_are_added():
    table, level, labels = nn.Embedding(4, 8), torch.tensor([0.2, 0.7]), torch.tensor([3, 1])
    both = ClassAndLevel(table, 8)
    alone = ClassAndLevel(None, 8)
    alone.level.load_state_dict(both.level.state_dict())
    torch.testing.assert_close(both((labels, level)) - alone((None, level)), table.weight[labels])


@pytest.mark.parametrize("name", ["MMDiT", "UViT"])
def test_backbone_that_reads_no_image_is_refused_by_its_ability(name, tmp_path, capsys):
    text = f"""
        train.data = @Digits()
        train.conditioner = @LowResolution()
        train.backbone = @{name}()
        train.loss = @FlowMatching()
        train.sampler = @Uniform()
        train.steps = 1
    """
    (tmp_path / "x.gin").write_text("\n".join(line.strip() for line in text.splitlines()))
    assert main(["check", str(tmp_path / "x.gin")]) == 2
    said = capsys.readouterr().err
    assert "conditioner.LowResolution needs a backbone that provides 'image', but train.backbone is backbone." + name in said
    assert "Such a backbone is: DiT, UNet." in said
