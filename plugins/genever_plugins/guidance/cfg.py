"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from genever.slots import Guidance
from genever.training import Composition
from torch import Tensor

from genever_plugins.guidance._interval import scales

__all__ = ["CFG"]


@dataclass(frozen=True, kw_only=True)
class CFG:
    """Classifier-free guidance: output = null + scale (conditional - null), from one doubled batch.

    Outputs are affine in the estimates of data, noise and velocity, so guiding one guides them all. A model that has never
    been trained without its condition is not guided but refused.

    Args:
        scale: 1 = the conditional output itself, from a batch that is not doubled; 0 = the unconditional one. Papers that
            write 1 + w mean w = scale - 1.
        start: guide from this t on (0 = noise). Elsewhere the output is the conditional one.
        stop: guide up to this t (1 = data).
        rescale: share of the guided output whose standard deviation is brought back to the conditional one's. 0 = disable.

    References:
        Ho and Salimans, Classifier-Free Diffusion Guidance, 2022, eq. (6). arXiv:2207.12598
        Kynkäänniemi et al., Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion
            Models, 2024. arXiv:2404.07724
        Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed, 2024, eq. (14)-(16). arXiv:2305.08891
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("conditioner.unconditional | start.conditioner.unconditional | self.scale=1",)

    scale: Annotated[float, Ge(0)] = 2.0
    start: Annotated[float, Ge(0), Le(1)] = 0.0
    stop: Annotated[float, Ge(0), Le(1)] = 1.0
    rescale: Annotated[float, Ge(0), Le(1)] = 0.0

    def build(self, composition: Composition) -> Guidance:
        """Itself."""
        if self.scale != 1 and not composition.knows_null:
            raise ValueError(
                f"guidance.CFG.scale = {self.scale} compares the model with itself without its condition, which it has "
                f"never seen: conditioner.{type(composition.stage.conditioner).__name__}.dropout is 0. Train with a "
                "dropout, such as 0.1, or leave the guidance out."
            )
        return self

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        if self.scale == 1:
            return predict(x, t, cond)
        outputs = predict(torch.cat([x, x]), torch.cat([t, t]), torch.cat([cond, null]))
        conditional, unconditional = outputs.chunk(2)
        guided = torch.lerp(unconditional, conditional, scales(self.scale, x, t, self.start, self.stop))
        return guided if self.rescale == 0 else self._rescaled(guided, conditional)

    def _rescaled(self, guided: Tensor, conditional: Tensor) -> Tensor:
        dims = tuple(range(1, guided.ndim))
        ratio = conditional.std(dims, keepdim=True) / guided.std(dims, keepdim=True)  # eq. (15)
        return guided * torch.lerp(torch.ones_like(ratio), ratio, self.rescale)  # eq. (16)
