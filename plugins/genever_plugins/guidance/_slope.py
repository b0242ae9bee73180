"""Guidance uphill: the gradient of a number that an estimate of the data has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from genever.slots import Guidance, Loss, ToldGuidance
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.guidance._interval import scales

__all__ = ["Uphill", "with_more_score"]

#: Below it alpha counts as 0: what is nothing but noise says nothing of data.
SMALLEST_ALPHA = 1e-3
#: Below it sigma counts as 0: what is nothing but data is not to be moved.
SMALLEST_SIGMA = 1e-4


@dataclass(frozen=True, kw_only=True)
class Uphill:
    """`genever.slots.Guidance` that adds scale · grad_x height(x̂_1(x)) to the score.

    Args:
        part: its `scale`, `start` and `stop` say how much, and where.
        loss: of the model that is guided.
        height: of an estimate of x_1 under its condition, one number for each sample; it is given what was asked for.
        inner: gives the output that is changed. None = the conditional one.
        samples: what was asked for. None = it is not known.
    """

    part: Any
    loss: Loss
    height: Callable[[Tensor, Tensor, Samples | None], Float[Tensor, " batch"]]
    inner: Guidance | None = None
    samples: Samples | None = None

    def told(self, samples: Samples) -> Guidance:
        inner = self.inner.told(samples) if isinstance(self.inner, ToldGuidance) else self.inner
        return replace(self, samples=samples, inner=inner)

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        if self.part.scale == 0:
            return self._output(predict, x, t, cond, null)
        # Sampling takes no gradients; this one is taken all the same, and is a constant to whoever takes another.
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            seen = x if learning and x.requires_grad else x.detach().requires_grad_()
            output = self._output(predict, seen, t, cond, null)
            height = self.height(self.loss.data(output, seen, t), cond, self.samples)
            (slope,) = torch.autograd.grad(height.sum(), seen, retain_graph=learning)
        more = scales(self.part.scale, x, t, self.part.start, self.part.stop, outside=0.0) * slope
        return with_more_score(self.loss, output if learning else output.detach(), x, t, more)

    def _output(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        return predict(x, t, cond) if self.inner is None else self.inner(predict, x, t, cond, null)


def with_more_score(loss: Loss, output: Tensor, x: Tensor, t: Float[Tensor, " batch"], more: Tensor) -> Tensor:
    """The output whose score is that of `output` plus `more`; unchanged at the very ends of the path.

    Estimates of noise are linear in (output, x) and are -sigma score. On the straight path, the output its velocity, that
    adds (1 - t) / t · more.
    """
    wide = t.view(-1, *[1] * (x.ndim - 1))
    sigma = loss.path.sigma(wide)
    inside = (loss.path.alpha(wide) >= SMALLEST_ALPHA) & (sigma >= SMALLEST_SIGMA)
    noise_of_output = loss.noise(torch.ones_like(x), torch.zeros_like(x), t)
    return output + torch.where(inside, -sigma * more / noise_of_output, 0.0)
