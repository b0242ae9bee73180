"""The times at which a solver stops."""

from __future__ import annotations

import torch
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["grid"]


def grid(path: Path, num_steps: int, shift: float, device: torch.device | None = None) -> Float[Tensor, " times"]:
    """num_steps + 1 times from path.start to path.stop, made on the device, so that no step waits for the host.

    Even in u, then shifted towards noise: t = u / (shift - (shift - 1) u), which is sigma = shift s / (1 + (shift - 1) s)
    with sigma = 1 - t and s = 1 - u.
    """
    u = torch.linspace(0, 1, num_steps + 1, device=device)
    t = u if shift == 1 else u / (shift - (shift - 1) * u)
    return path.start + (path.stop - path.start) * t
