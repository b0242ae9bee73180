"""Times with a heavy middle that leave no end out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor

__all__ = ["Mode"]


@dataclass(frozen=True, kw_only=True)
class Mode:
    """t = 1 - u - scale (cos²(pi u / 2) - 1 + u) with u ~ Uniform(0, 1): a mode at 1/2, and density above 0 at both ends.

    The map is antisymmetric about u = 1/2, so it does not depend on the direction of time.

    Args:
        scale: > 0 prefers the middle, < 0 the ends, 0 = uniform. Above 2 / (pi - 2) = 1.7519 the map would fold.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. (20).
            arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    scale: Annotated[float, Ge(-1), Le(1.7519)] = 1.29

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]:
        u = torch.rand(num, generator=generator, device=generator.device)
        return 1 - u - self.scale * (torch.cos(math.pi / 2 * u).square() - 1 + u)  # eq. (20)
