"""A Gaussian path as a Markov chain from data to noise."""

from __future__ import annotations

from genever.slots import Path
from torch import Tensor

__all__ = ["forward_variance"]


def forward_variance(path: Path, t: Tensor, after: Tensor) -> Tensor:
    """Variance of x_t given x at the later, cleaner time `after`: sigma² - (alpha sigma' / alpha')²."""
    kept = path.alpha(t) * path.sigma(after) / path.alpha(after)
    return (path.sigma(t).square() - kept.square()).clamp_min(0)
