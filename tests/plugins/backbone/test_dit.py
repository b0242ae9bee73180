from __future__ import annotations

import pytest
import torch
from genever.values import ConditionSpec, LatentSpec
from genever_plugins.backbone.dit import DiT
from genever_plugins.backbone.patches import sincos_positions
from genever_plugins.backbone.time_embedding import sinusoid


@pytest.mark.parametrize("kind", ["none", "classes", "text", "unpooled text"])
def test_dit_starts_at_zero_and_its_blocks_as_the_identity(kit, kind):
    network = kit.small("DiT").build(kit.latent, kit.specs[kind])
    x, t, condition = kit.inputs(kind)
    output, features = network(x, t, condition, taps=(1, 2, 3))
    assert not output.any()
    assert all(torch.equal(one, network.x_embedder(x) + network.pos_embed) for one in features)


def count(**parameters: int) -> int:
    with torch.device("meta"):
        network = DiT(**parameters).build(LatentSpec(channels=4, height=32, width=32), ConditionSpec(num_classes=1000))
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("parameters", "published"),
    [
        ({}, 33e6),
        ({"width": 768, "depth": 12, "heads": 12}, 130e6),
        ({"width": 1024, "depth": 24, "heads": 16}, 458e6),
        ({"width": 1152, "depth": 28, "heads": 16}, 675e6),
    ],
)
def test_dit_has_the_published_number_of_parameters(parameters, published):
    assert count(**parameters) == pytest.approx(published, rel=0.005)


def test_dit_time_embedding_reads_offset_plus_scale_times_t(kit):
    t = torch.tensor([0.0, 0.25, 0.999])
    steps = kit.small("DiT", time_scale=-1000.0, time_offset=999.0).build(kit.latent, kit.specs["none"])
    expected = steps.t_embedder.mlp(sinusoid(torch.tensor([999.0, 749.0, 0.0]), 256))
    torch.testing.assert_close(steps.t_embedder(t), expected, atol=1e-4, rtol=1e-3)


def test_sinusoid_is_cosines_then_sines_at_falling_rates():
    found = sinusoid(torch.tensor([2.0]), 4)[0]
    rates = torch.tensor([1.0, 0.01])
    torch.testing.assert_close(found, torch.cat([(2 * rates).cos(), (2 * rates).sin()]))


def test_dit_normalises_queries_and_keys_on_demand(kit):
    network = kit.network("DiT", "text", qk_norm=True)
    given = kit.inputs("text")
    before = network(*given)[0]
    with torch.no_grad():
        for block in network.blocks:
            for attention in (block.attn.qkv, block.cross_attn.q_linear):
                attention.weight[:32] *= 3
                attention.bias[:32] *= 3
    torch.testing.assert_close(network(*given)[0], before, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("parameters", [{"width": 30}, {"width": 32, "heads": 3}])
def test_dit_width_that_does_not_fit_is_named(parameters):
    with pytest.raises(ValueError, match=r"^backbone\.DiT\.width = 3\d is not a multiple of 4 and of backbone\.DiT\.heads"):
        DiT(**parameters)


def test_dit_of_another_size_has_the_positions_of_that_size(kit):
    network, (x, t, condition) = kit.network("DiT"), kit.inputs("classes", LatentSpec(channels=3, height=4, width=6))
    _, (tokens,) = kit.small("DiT").build(kit.latent, kit.specs["classes"])(x, t, condition, taps=(1,))
    assert tokens.shape == (3, 6, 32)
    assert network(x, t, condition)[0].shape == x.shape
    expected = sincos_positions(32, (2, 3), built=(4, 6))
    assert torch.equal(network.positions((2, 3)), expected)
    assert network.positions((4, 6)) is network.pos_embed
