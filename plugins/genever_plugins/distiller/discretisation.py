"""Into how many intervals a path is cut, and in which one a time lies."""

from __future__ import annotations

import math

import torch
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["doubling", "growing", "interval"]


def interval(
    path: Path, num_intervals: int, t: Float[Tensor, " batch"]
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """Both ends of the interval that a time lies in, where the path is cut into intervals of even length."""
    times = torch.linspace(path.start, path.stop, num_intervals + 1, device=t.device)
    place = (t - path.start) / (path.stop - path.start) * num_intervals
    k = place.floor().long().clamp(0, num_intervals - 1)
    return times[k], times[k + 1]


def doubling(step: int, num_steps: int, first: int, last: int) -> int:
    """Twice as many every K' = ⌊num_steps / (log2 ⌊last / first⌋ + 1)⌋ steps, at most `last`.

    References:
        Song and Dhariwal, Improved Techniques for Training Consistency Models, 2023, section 3.4. arXiv:2310.14189
    """
    every = max(1, int(num_steps / (math.log2(last // first) + 1)))
    return min(first * 2 ** (step // every), last)


def growing(step: int, num_steps: int, first: int, last: int) -> int:
    """⌈sqrt(step / num_steps ((last + 1)² - first²) + first²) - 1⌉, which rises fast at first; at least 1.

    References:
        Song et al., Consistency Models, 2023, appendix C. arXiv:2303.01469
    """
    square = step / num_steps * ((last + 1) ** 2 - first**2) + first**2
    return max(1, math.ceil(math.sqrt(square) - 1))
