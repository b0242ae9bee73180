"""An image as a condition: further channels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever.command import main
from genever_plugins.backbone.image_condition import beside

able = pytest.mark.parametrize("name", ["DiT", "UNet"])
KINDS = pytest.mark.parametrize("kind", ["image", "classes, image", "text, image"])


def inputs(kit, kind):
    other, generator = kind.replace(", image", "").replace("image", "none"), torch.Generator().manual_seed(3)
    x, t, condition = kit.inputs(other)
    image = torch.randn(3, 2, *x.shape[2:], generator=generator)
    return x, t, replace(condition, image=image)


@able
@KINDS
def test_output_depends_on_the_image(kit, name, kind):
    network = kit.network(name, kind)
    x, t, condition = inputs(kit, kind)
    first = network(x, t, condition)[0]
    assert first.shape == x.shape
    other = network(x, t, replace(condition, image=condition.image + 0.1))[0]
    assert (other - first).flatten(1).abs().amax(1).min() > 1e-4


@able
@KINDS
def test_every_weight_gets_a_gradient(kit, name, kind):
    network = kit.network(name, kind)
    network(*inputs(kit, kind))[0].square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert [key for key in idle if "to_k.bias" not in key] == []


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


@pytest.mark.parametrize("name", ["Flux", "MMDiT", "UViT"])
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
