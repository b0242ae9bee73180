"""Images as rows of square patches, and where each patch stands."""

from __future__ import annotations

import torch
from genever.values import LatentSpec
from jaxtyping import Float
from torch import Tensor

__all__ = ["patch_grid", "sincos_positions", "unpatchify"]


def patch_grid(latent: LatentSpec, patch: int, name: str) -> tuple[int, int]:
    """(rows, columns) of patches; `name` is the parameter to blame where they do not fit."""
    if latent.height % patch or latent.width % patch:
        raise ValueError(
            f"{name} = {patch} does not divide {latent.height}x{latent.width}, the size that the codec hands over. "
            "Choose a patch that divides both sides, or images of another size."
        )
    return latent.height // patch, latent.width // patch


def unpatchify(
    tokens: Float[Tensor, " batch tokens values"], grid: tuple[int, int], patch: int
) -> Float[Tensor, " batch channels height width"]:
    """Row-major tokens, each the values of one patch ordered (row, column, channel), laid out as an image."""
    rows, columns = grid
    split = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (rows, columns))
    return split.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def sincos_positions(width: int, grid: tuple[int, int]) -> Float[Tensor, " 1 tokens width"]:
    """Fixed positions of row-major tokens: half of the features from the column, half from the row, as DiT has them."""
    rows, columns = grid
    column = _sincos(width // 2, torch.arange(columns)).repeat(rows, 1)
    row = _sincos(width // 2, torch.arange(rows)).repeat_interleave(columns, 0)
    return torch.cat([column, row], 1).float().unsqueeze(0)


def _sincos(width: int, positions: Tensor) -> Tensor:
    rates = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    angles = positions.double().unsqueeze(1) * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
