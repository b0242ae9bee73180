"""Times shifted towards noise, as larger images need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from genever.slots import Sampler
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor

__all__ = ["Shifted"]


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """Any sampler's times, shifted towards noise: t <- t / (alpha - (alpha - 1) t).

    In the noise level sigma = 1 - t this is sigma <- alpha sigma / (1 + (alpha - 1) sigma): logit(t) falls by ln alpha. An
    image with alpha² times as many positions is then as hard to guess from x_t as the smaller one was. Shifts multiply, and
    a shifted LogitNormal(mean) is LogitNormal(mean - ln alpha).

    Args:
        sampler: whose times are shifted.
        alpha: the shift; 1 = none, > 1 towards noise. None = sqrt(positions / base_positions).
        base_positions: height times width of the latents for which `sampler` is right. None = `alpha` says the shift.

    References:
        Esser et al., Scaling Rectified Flow Transformers for High-Resolution Image Synthesis, 2024, eq. (23).
            arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    sampler: Sampler
    alpha: Annotated[float, Gt(0)] | None = None
    base_positions: Annotated[int, Gt(0)] | None = None

    def __post_init__(self) -> None:
        if (self.alpha is None) == (self.base_positions is None):
            raise ValueError(
                f"Shifted.alpha is {self.alpha!r} and Shifted.base_positions is {self.base_positions!r}. "
                "Exactly one of them says how far to shift: set one."
            )

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]:
        t = self.sampler(num, generator=generator, context=context)
        alpha = self._alpha(context)
        return t / (alpha - (alpha - 1) * t)  # eq. (23) with sigma = 1 - t

    def _alpha(self, context: TimeContext) -> float:
        if self.base_positions is None:
            assert self.alpha is not None
            return self.alpha
        return (context.latent.height * context.latent.width / self.base_positions) ** 0.5
