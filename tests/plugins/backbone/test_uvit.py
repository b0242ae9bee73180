from __future__ import annotations

import pytest
import torch
from genever_plugins.backbone.uvit import UViT


def test_uvit_second_half_reads_its_mirror_image(kit):
    network = kit.network("UViT", depth=5)
    asked: list[tuple[int, bool]] = []
    outputs: list[torch.Tensor] = []

    def note(block, given, output):
        skip = given[1]
        asked.append((len(outputs) + 1, next((i for i, one in enumerate(outputs, 1) if one is skip), None)))
        outputs.append(output)

    for block in network.blocks:
        block.register_forward_hook(note)
    network(*kit.inputs("classes"))
    assert asked == [(1, None), (2, None), (3, None), (4, 2), (5, 1)]


def test_uvit_tokens_are_time_class_and_patches(kit):
    x, t, condition = kit.inputs("classes")
    network = kit.network("UViT")
    tokens, mask = network.embed(x, t, condition)
    assert mask is None
    tokens = tokens - network.pos_embed
    torch.testing.assert_close(tokens[:, 0], network.time_embed(t))
    torch.testing.assert_close(tokens[:, 1], network.label_emb(condition.classes))
    torch.testing.assert_close(tokens[:, 2:], network.patch_embed(x).flatten(2).transpose(1, 2))


def test_uvit_parameters_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"^backbone\.UViT\.depth = 12 is even, but one block is in the middle\. .* 13\.$"):
        UViT(depth=12)
    with pytest.raises(ValueError, match=r"^backbone\.UViT\.width = 32 is not a multiple of 2 and of .*heads = 3\."):
        UViT(width=32, heads=3)


def test_uvit_positions_of_another_size_lie_between_those_it_learned(kit):
    """Where learned positions rise in a line, so do those between; those of time and class stay."""
    network = kit.network("UViT")
    column = torch.arange(6.0).expand(4, 6).reshape(1, 24, 1)
    with torch.no_grad():
        network.pos_embed[:, 2:] = column
    extras, patches = network.positions((4, 12)).split([2, 48], 1)
    assert torch.equal(extras, network.pos_embed[:, :2])
    wanted = (torch.arange(12.0) + 0.5) / 2 - 0.5
    inside = patches.unflatten(1, (4, 12))[0, :, 3:-3, 0]
    torch.testing.assert_close(inside, wanted[3:-3].expand(4, 6))
    assert network.positions((4, 6)) is network.pos_embed
