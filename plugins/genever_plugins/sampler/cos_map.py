"""Times whose signal-to-noise ratio follows the cosine schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor

__all__ = ["CosMap"]


@dataclass(frozen=True, kw_only=True)
class CosMap:
    """t = 1 - 1 / (tan(pi u / 2) + 1) with u ~ Uniform(0, 1): the straight path visited as the cosine schedule would.

    The density is 2 / (pi (1 - 2 t + 2 t²)), symmetric about 1/2.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. (21).
            arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]:
        u = torch.rand(num, generator=generator, device=generator.device)
        return 1 - 1 / (torch.tan(math.pi / 2 * u) + 1)
