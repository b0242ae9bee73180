from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever_plugins.backbone.mmdit import MMDiT
from genever_plugins.backbone.patches import sincos_positions


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


@pytest.mark.parametrize(("height", "width"), [(8, 12), (12, 12), (12, 6)])
def test_mmdit_positions_of_any_size_are_those_of_diffusers_square(kit, height, width):
    """Built for 4 x 6 patches, it stands in the middle of diffusers' 6 x 6; the same area is there as it was."""
    network = kit.network("MMDiT")
    embedding = network.transformer.pos_embed
    first = ((6 - 4) // 2, 0)
    whole = sincos_positions(32, (4, 6), built=(4, 6), first=first)
    torch.testing.assert_close(embedding.cropped_pos_embed(8, 12), whole, atol=1e-6, rtol=0)
    x = torch.randn(2, 3, height, width)
    tokens = network.embed_patches(x) - embedding.proj(x).flatten(2).transpose(1, 2)
    expected = sincos_positions(32, (height // 2, width // 2), built=(4, 6), first=first)
    torch.testing.assert_close(tokens, expected.expand_as(tokens), atol=1e-5, rtol=0)
