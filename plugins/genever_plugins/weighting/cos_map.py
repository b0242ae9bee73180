"""The cosine map's density as weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["CosMap"]


@dataclass(frozen=True, kw_only=True)
class CosMap:
    """2 / (pi (1 - 2 sigma + 2 sigma²)): the density of sampler.CosMap, as weights of uniform times.

    It is symmetric on the straight path, so it does not depend on the direction of time. In expectation the weights do what
    the sampler does; do not use both.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. (21).
            arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("loss.straight",)

    def __call__(self, t: Float[Tensor, " batch"], *, path: Path, prediction: str) -> Float[Tensor, " batch"]:
        sigma = path.sigma(t)
        return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma.square()))
