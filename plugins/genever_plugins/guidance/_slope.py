"""Guidance uphill: the gradient of a number that x_t has, or the estimate of the data from there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from genever.slots import Guidance, Loss, ToldGuidance
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.guidance._interval import scales

__all__ = ["Point", "Uphill", "with_more_score"]

#: Below it alpha counts as 0: what is nothing but noise says nothing of data.
SMALLEST_ALPHA = 1e-3
#: Below it sigma counts as 0: what is nothing but data is not to be moved.
SMALLEST_SIGMA = 1e-4


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a height is measured.

    Args:
        x_t: at t [batch].
        estimate: gives that of x_1, from the guided model's output. A slope goes through the model where it is asked for.
        cond: the condition of each sample.
        samples: what was asked for. None = it is not known.
    """

    x_t: Tensor
    t: Tensor
    estimate: Callable[[], Tensor]
    cond: Tensor
    samples: Samples | None


@dataclass(frozen=True, kw_only=True)
class Uphill:
    """`genever.slots.Guidance` that adds scale · grad_{x_t} height to the score.

    Args:
        part: its `scale`, `start` and `stop` say how much, and where.
        loss: of the model that is guided.
        height: one number for each sample.
        inner: gives the output that is changed. None = the conditional one.
        samples: what was asked for. None = it is not known.
    """

    part: Any
    loss: Loss
    height: Callable[[Point], Float[Tensor, " batch"]]
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
        x_t = x if learning and x.requires_grad else x.detach().requires_grad_()
        # A height that does not ask for the estimate leaves this to the last line, where sampling takes no gradients.
        output = cache(lambda: self._output(predict, x_t, t, cond, null))
        point = Point(x_t=x_t, t=t, estimate=lambda: self.loss.data(output(), x_t, t), cond=cond, samples=self.samples)
        with torch.enable_grad():
            height = self.height(point)
            (slope,) = torch.autograd.grad(height.sum(), x_t, retain_graph=learning)
        more = scales(self.part.scale, x, t, self.part.start, self.part.stop, outside=0.0) * slope
        return with_more_score(self.loss, output() if learning else output().detach(), x, t, more)

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
