from __future__ import annotations

import pytest
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


def coordinates(grid: tuple[int, int], built: tuple[int, int]) -> tuple[list[float], list[float]]:
    """Rows and columns, read back from the fastest sine and cosine of each."""
    found = sincos_positions(8, grid, built=built)[0].unflatten(0, grid)
    column, row = (torch.atan2(found[..., at], found[..., at + 2]) for at in (0, 4))
    return row[:, 0].tolist(), column[0].tolist()


def test_positions_of_the_built_grid_are_whole_numbers() -> None:
    assert torch.equal(sincos_positions(8, (2, 3), built=(2, 3)), sincos_positions(8, (2, 3)))
    rows, columns = coordinates((2, 3), built=(2, 3))
    assert rows == pytest.approx([0, 1])
    assert columns == pytest.approx([0, 1, 2])


def test_positions_of_a_finer_grid_lie_between_those_of_the_built_one() -> None:
    """Patches half as wide cover the same image: their centres are at a quarter and three quarters of a patch."""
    assert coordinates((4, 4), built=(2, 2))[0] == pytest.approx([-0.25, 0.25, 0.75, 1.25])
    assert coordinates((1, 1), built=(2, 2))[1] == pytest.approx([0.5])


def test_positions_of_a_wide_grid_of_the_built_area_stand_one_apart_in_both_directions() -> None:
    rows, columns = coordinates((1, 4), built=(2, 2))
    assert rows == pytest.approx([0.5])
    assert columns == pytest.approx([-1, 0, 1, 2])


def test_positions_begin_where_they_are_told() -> None:
    whole = sincos_positions(8, (4, 4))[0].unflatten(0, (4, 4))
    part = sincos_positions(8, (2, 4), first=(1, 0))[0].unflatten(0, (2, 4))
    assert torch.equal(part, whole[1:3])
