from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever_plugins.backbone.mmdit import MMDiT


@pytest.mark.parametrize("kind", ["none", "classes", "text", "unpooled text"])
def test_mmdit_starts_at_zero_and_its_blocks_as_the_identity(kit, kind):
    network = kit.small("MMDiT").build(kit.latent, kit.specs[kind])
    x, t, condition = kit.inputs(kind)
    output, features = network(x, t, condition, taps=(1, 2, 3))
    assert not output.any()
    assert all(torch.equal(one, network.transformer.pos_embed(x)) for one in features)


def test_mmdit_is_the_model_of_diffusers(kit):
    network = kit.network("MMDiT", "text")
    x, t, condition = kit.inputs("text")
    condition = replace(condition, mask=None)
    theirs = network.transformer.eval()
    sample = theirs(x, condition.tokens, condition.pooled, 1000 * t).sample
    torch.testing.assert_close(network(x, t, condition)[0], sample)
    theirs.set_attn_processor(type(theirs)(num_layers=1).transformer_blocks[0].attn.processor)
    torch.testing.assert_close(theirs(x, condition.tokens, condition.pooled, 1000 * t).sample, sample)


def test_mmdit_width_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"^backbone\.MMDiT\.width = 32 is not a multiple of 4 and of .*heads = 3\."):
        MMDiT(width=32, heads=3)
