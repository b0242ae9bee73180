"""Weights that grow towards data as the noise's variance falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["InverseVariance"]


@dataclass(frozen=True, kw_only=True)
class InverseVariance:
    """1 / sigma²: what diffusers calls "sigma_sqrt". Meant for uniform times.

    Args:
        floor: sigma below this counts as this: 1/1000 is the last of diffusers' 1000 noise levels.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024. arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    floor: Annotated[float, Gt(0)] = 0.001

    def __call__(self, t: Float[Tensor, " batch"], *, path: Path, prediction: str) -> Float[Tensor, " batch"]:
        return path.sigma(t).clamp_min(self.floor) ** -2
