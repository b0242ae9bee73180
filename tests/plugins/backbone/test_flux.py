from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from genever_plugins.backbone.flux import Flux
from torch.nn import functional

depths = pytest.mark.parametrize(("double", "single"), [(1, 2), (2, 0), (0, 2)])


@pytest.mark.parametrize("kind", ["none", "classes", "text", "unpooled text"])
@depths
def test_flux_starts_at_zero_and_its_blocks_as_the_identity(kit, kind, double, single):
    network = kit.small("Flux", double_depth=double, single_depth=single).build(kit.latent, kit.specs[kind])
    x, t, condition = kit.inputs(kind)
    output, features = network(x, t, condition, taps=range(1, double + single + 1))
    assert not output.any()
    patches = network.transformer.x_embedder(packed(x))
    assert patches.any()
    assert all(torch.equal(one, patches) for one in features)


@depths
def test_flux_is_the_model_of_diffusers(kit, double, single):
    network = kit.network("Flux", "text", double_depth=double, single_depth=single)
    x, t, condition = kit.inputs("text")
    images = torch.tensor([[0.0, row, column] for row in range(4) for column in range(6)])
    given = (packed(x), condition.tokens, condition.pooled, t, images, torch.zeros(5, 3))
    theirs = network.transformer.eval()(*given).sample
    ours = network(x, t, replace(condition, mask=None))[0]
    torch.testing.assert_close(packed(ours), theirs)


@depths
def test_flux_learns_with_all_weights_and_reads_no_padding(kit, double, single):
    network = kit.network("Flux", "text", double_depth=double, single_depth=single)
    x, t, condition = kit.inputs("text")
    output = network(x, t, condition)[0]
    output.square().mean().backward()
    idle = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # Where no block of one stream follows, what the text of the last block asks for leads nowhere.
    last = "transformer.transformer_blocks.1.attn."
    assert [key for key in idle if not key.startswith((f"{last}add_q", f"{last}norm_added_q"))] == []
    bare = replace(condition, tokens=condition.tokens[:, :3], mask=None)
    torch.testing.assert_close(output, network(x, t, bare)[0], atol=1e-5, rtol=1e-4)


@depths
def test_flux_knows_patches_apart_by_their_positions_alone(kit, monkeypatch, double, single):
    network = kit.network("Flux", "text", double_depth=double, single_depth=single)
    x, t, condition = kit.inputs("text")
    moved = x.roll(4, 3)  # by two patches
    assert not torch.allclose(network(moved, t, condition)[0], network(x, t, condition)[0].roll(4, 3), atol=1e-2)
    monkeypatch.setattr(network, "positions", lambda grid, length, device: torch.zeros(length + 24, 3))
    torch.testing.assert_close(network(moved, t, condition)[0], network(x, t, condition)[0].roll(4, 3), atol=1e-4, rtol=1e-4)


def test_flux_positions_of_another_size_lie_upon_the_built_grid(kit):
    network = kit.network("Flux")
    found = network.positions((8, 12), 1, torch.device("cpu")).reshape(-1, 3)
    rows, columns = torch.arange(8) / 2 - 0.25, torch.arange(12) / 2 - 0.25
    assert not found[0].any()
    assert torch.equal(found[1:, 1].reshape(8, 12), rows.unsqueeze(1).expand(8, 12).to(found))
    assert torch.equal(found[1:, 2].reshape(8, 12), columns.expand(8, 12).to(found))
    assert torch.equal(network.positions((4, 6), 0, torch.device("cpu"))[7], torch.tensor([0, 1, 1]).to(found))


@pytest.mark.parametrize(("head_width", "axes"), [(128, (16, 56, 56)), (16, (4, 6, 6)), (4, (0, 2, 2))])
def test_flux_turns_features_of_a_head_in_its_proportions(kit, head_width, axes):
    with torch.device("meta"):
        network = kit.small("Flux", width=2 * head_width).build(kit.latent, kit.specs["none"])
    assert network.transformer.pos_embed.axes_dim == axes


def test_flux_of_narrow_heads_draws(kit):
    network = kit.network("Flux", width=8)
    assert network(*kit.inputs("classes"))[0].isfinite().all()


def test_flux_width_that_does_not_fit_is_named():
    with pytest.raises(
        ValueError, match=r"^backbone\.Flux\.width = 36 is not a multiple of 4 · .*\.heads = 8: .* fewer heads\."
    ):
        Flux(width=36, heads=2)


def test_flux_without_a_block_is_refused():
    with pytest.raises(ValueError, match=r"^backbone\.Flux\.double_depth = 0 and .*single_depth = 0 leave no block\."):
        Flux(double_depth=0, single_depth=0)


def packed(x):
    return functional.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2)
