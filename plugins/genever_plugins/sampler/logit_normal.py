"""Times that prefer the middle of the path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor

__all__ = ["LogitNormal"]


@dataclass(frozen=True, kw_only=True)
class LogitNormal:
    """logit(t) ~ Normal(mean, std²).

    A positive mean trains more near data (t = 1). Papers whose time runs from data to noise give the mean with the other
    sign. EDM's ln sigma ~ Normal(P_mean, P_std²) is mean = -P_mean, std = P_std here, because sigma = (1 - t) / t.

    Args:
        mean: of logit(t); 0 = symmetric about t = 1/2.
        std: of logit(t).

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. (19).
            arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    mean: float = 0.0
    std: Annotated[float, Gt(0)] = 1.0

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]:
        normal = torch.randn(num, generator=generator, device=generator.device)
        return torch.sigmoid(self.mean + self.std * normal)
