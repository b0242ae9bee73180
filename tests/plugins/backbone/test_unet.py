from __future__ import annotations

import pytest
from genever.values import LatentSpec
from genever_plugins.backbone.unet import UNet


@pytest.mark.parametrize("kind", ["none", "classes", "text"])
def test_unet_starts_at_zero(kit, kind):
    network = kit.small("UNet").build(kit.latent, kit.specs[kind])
    assert not network(*kit.inputs(kind))[0].any()


@pytest.mark.parametrize("kind", ["classes", "text"])
def test_unet_heads_have_the_width_asked_for(kit, kind):
    network = kit.network("UNet", kind, head_width=4)
    heads = {module.heads for module in network.modules() if hasattr(module, "to_q")}
    assert heads == {4}


def test_unet_has_attention_where_it_is_asked_for(kit):
    def levels(*chosen: int) -> list[bool]:
        unet = kit.network("UNet", attention_levels=chosen).unet
        return [hasattr(block, "attentions") for block in (*unet.down_blocks, *unet.up_blocks)]

    assert levels() == [False, False, False, False]
    assert levels(1) == [False, True, True, False]


def test_unet_size_that_does_not_halve_is_named(kit):
    message = r"^backbone\.UNet\.widths = \(8, 16\) halves the sides 1 times, but 2 does not divide 5x8"
    with pytest.raises(ValueError, match=message):
        kit.small("UNet").build(LatentSpec(channels=1, height=5, width=8), kit.specs["none"])


def test_unet_parameters_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^backbone\.UNet\.widths is empty\."):
        UNet(widths=())
    with pytest.raises(ValueError, match=r"attention_levels holds 3, but .*\.widths = \(32, 64\) makes 2 levels"):
        UNet(widths=(32, 64), attention_levels=(3,))
    with pytest.raises(ValueError, match=r"^backbone\.UNet\.groups = 32 does not divide 48, one of backbone\.UNet\.widths"):
        UNet(widths=(32, 48), attention_levels=())
    with pytest.raises(ValueError, match=r"^backbone\.UNet\.head_width = 48 does not divide 64, one of backbone\.UNet"):
        UNet(widths=(32, 64), attention_levels=(), head_width=48)
