from __future__ import annotations

import torch
from genever_plugins.backbone.patches import sincos_positions, unpatchify
from torch.nn import functional


def test_unpatchify_undoes_cutting_into_patches():
    image, patch = torch.randn(2, 3, 4, 6), 2
    columns = functional.unfold(image, patch, stride=patch).transpose(1, 2)
    tokens = columns.unflatten(2, (3, patch * patch)).transpose(2, 3).flatten(2)
    assert torch.equal(unpatchify(tokens, (2, 3), patch), image)


def test_positions_are_column_then_row_and_row_major():
    positions = sincos_positions(8, (2, 3))[0]
    assert positions.shape == (6, 8)
    angles = torch.tensor([2.0, 0.02])
    column = torch.cat([angles.sin(), angles.cos()])
    angles = torch.tensor([1.0, 0.01])
    row = torch.cat([angles.sin(), angles.cos()])
    torch.testing.assert_close(positions[5], torch.cat([column, row]))
