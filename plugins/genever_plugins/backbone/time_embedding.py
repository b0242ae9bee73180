"""Times as vectors."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TimeEmbedding", "sinusoid"]


def sinusoid(t: Float[Tensor, " batch"], width: int, max_period: float = 10000.0) -> Float[Tensor, " batch width"]:
    """Cosines, then sines, of t at width / 2 rates that fall geometrically from 1 to nearly 1 / max_period."""
    half = width // 2
    rates = torch.exp(-math.log(max_period) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float().unsqueeze(1) * rates
    return torch.cat([angles.cos(), angles.sin()], 1)


class TimeEmbedding(nn.Module):
    """A two-layer network on the sinusoid of scale · t + offset."""

    def __init__(self, width: int, *, scale: float, offset: float = 0.0, num_frequencies: int = 256) -> None:
        super().__init__()
        self.scale = scale
        self.offset = offset
        self.num_frequencies = num_frequencies
        self.mlp = nn.Sequential(nn.Linear(num_frequencies, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Float[Tensor, " batch"]) -> Float[Tensor, " batch width"]:
        features = sinusoid(self.scale * t.float() + self.offset, self.num_frequencies)
        return self.mlp(features.to(next(self.parameters()).dtype))
