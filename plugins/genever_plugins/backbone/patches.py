"""Images as rows of square patches, and where each patch stands."""

from __future__ import annotations

import torch
from genever.values import LatentSpec
from jaxtyping import Float
from torch import Tensor

__all__ = ["grid_of", "grid_places", "patch_grid", "sincos_positions", "unpatchify"]


def patch_grid(latent: LatentSpec, patch: int, name: str) -> tuple[int, int]:
    """(rows, columns) of patches; `name` is the parameter to blame where they do not fit."""
    if latent.height % patch or latent.width % patch:
        raise ValueError(
            f"{name} = {patch} does not divide {latent.height}x{latent.width}, the size that the codec hands over. "
            "Choose a patch that divides both sides, or images of another size."
        )
    return latent.height // patch, latent.width // patch


def grid_of(x: Float[Tensor, " batch channels height width"], patch: int) -> tuple[int, int]:
    """(rows, columns) of the patches of a batch."""
    return x.shape[2] // patch, x.shape[3] // patch


def unpatchify(
    tokens: Float[Tensor, " batch tokens values"], grid: tuple[int, int], patch: int
) -> Float[Tensor, " batch channels height width"]:
    """Row-major tokens, each the values of one patch ordered (row, column, channel), laid out as an image."""
    rows, columns = grid
    split = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (rows, columns))
    return split.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def sincos_positions(
    width: int, grid: tuple[int, int], *, built: tuple[int, int] | None = None, first: tuple[int, int] = (0, 0)
) -> Float[Tensor, " 1 tokens width"]:
    """Fixed positions of row-major tokens: half of the features from the column, half from the row, as DiT has them.

    Args:
        built: see `grid_places`. None = this grid.
        first: row and column of the built grid's first patch.
    """
    rows, columns = (places + start for places, start in zip(grid_places(grid, built=built or grid), first, strict=True))
    column = _sincos(width // 2, columns).repeat(len(rows), 1)
    row = _sincos(width // 2, rows).repeat_interleave(len(columns), 0)
    return torch.cat([column, row], 1).float().unsqueeze(0)


def grid_places(
    grid: tuple[int, int], *, built: tuple[int, int]
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " columns"]]:
    """Where the rows and the columns of a grid stand on the built one, whose patches stand at 0, 1, 2 and so on.

    A grid of other size than the built one covers as much area, about the same centre, and its patches are as far apart in
    both directions: twice as many rows and columns stand half as far apart, and a wide image reaches further to the sides.
    """
    apart = (built[0] * built[1] / (grid[0] * grid[1])) ** 0.5
    return _places(grid[0], built[0], apart), _places(grid[1], built[1], apart)


def _places(num: int, built: int, apart: float) -> Float[Tensor, " num"]:
    """`num` places about the centre of `built` ones."""
    return (torch.arange(num, dtype=torch.float64) - (num - 1) / 2) * apart + (built - 1) / 2


def _sincos(width: int, positions: Tensor) -> Tensor:
    rates = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = positions.unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
