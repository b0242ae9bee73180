"""The times at which a solver stops."""

from __future__ import annotations

import torch
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["grid", "shifted_times"]


def shifted_times(num_steps: int, shift: float, device: torch.device | None = None) -> Float[Tensor, " times"]:
    """num_steps + 1 times from 0 to 1, made on the device, so that no step waits for the host.

    Even in u, then shifted towards noise: t = u / (shift - (shift - 1) u), which is sigma = shift s / (1 + (shift - 1) s)
    with sigma = 1 - t and s = 1 - u.
    """
    u = torch.linspace(0, 1, num_steps + 1, device=device)
    return u if shift == 1 else u / (shift - (shift - 1) * u)


def grid(path: Path, num_steps: int, shift: float, device: torch.device) -> Float[Tensor, " times"]:
    """num_steps + 1 times from path.start to path.stop."""
    return path.start + (path.stop - path.start) * shifted_times(num_steps, shift, device)
