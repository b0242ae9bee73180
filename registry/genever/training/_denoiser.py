"""A network under its condition, and the field that a solver sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genever.slots import ToldGuidance
from genever.training._resize import resized

if TYPE_CHECKING:
    from genever.slots import Guidance, Loss, Path
    from genever.values import Condition, Samples

__all__ = ["Denoiser", "Field"]


class Denoiser(nn.Module):
    """A backbone's network with its conditioner's module: the role "model", and its copies.

    Args:
        network: `genever.slots.Network`.
        conditioner: `genever.slots.ConditionerModule`.
        heads: `genever.slots.Head` by name. None = none.
    """

    def __init__(self, network: nn.Module, conditioner: nn.Module, heads: nn.ModuleDict | None = None) -> None:
        super().__init__()
        self.network = network
        self.conditioner = conditioner
        self.heads = nn.ModuleDict() if heads is None else heads

    def forward(
        self, x: Tensor, t: Tensor, cond: Tensor, taps: Sequence[int | str] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The raw output [batch, channels, height, width] and the features of the taps.

        Args:
            x: what `Loss.inputs` makes of x_t.
            t: what `Loss.inputs` makes of t [batch].
            cond: what the conditioner's `prepare` made of the samples.
            taps: blocks, counted from 1, or names of heads: what a head makes of its block stands in the block's place.
        """
        heads: list[Any] = [self.heads[tap] if isinstance(tap, str) else None for tap in taps]
        blocks = [head.tap if head else tap for head, tap in zip(heads, taps, strict=True)]
        output, features = self.network(x, t, _on_grid(self.conditioner(cond), x), taps=blocks)
        return output, tuple(head(one) if head else one for head, one in zip(heads, features, strict=True))


def _on_grid(condition: Condition, x: Tensor) -> Condition:
    """The same condition, its image of the size and precision of x."""
    if condition.image is None:
        return condition
    return replace(condition, image=resized(condition.image, (x.shape[-2], x.shape[-1])).to(x.dtype))


class Field:
    """A denoiser and its loss under one condition: the vector field that a solver integrates.

    Times are numbers or tensors, one for all samples or one for each. Gradients flow where the caller lets them.

    Args:
        guidance: combines the outputs with and without the condition; None = the conditional output alone.
        null: the condition left out, as the conditioner's `null` gives it; needed with guidance.
        samples: what was asked for, row by row, for a guidance that reads it. None = it is not known.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        cond: Tensor,
        *,
        guidance: Guidance | None = None,
        null: Tensor | None = None,
        samples: Samples | None = None,
    ) -> None:
        self.model = model
        self.loss = loss
        self.cond = cond
        self.guidance = guidance.told(samples) if samples is not None and isinstance(guidance, ToldGuidance) else guidance
        self.null = null

    @property
    def path(self) -> Path:
        return self.loss.path

    def with_number(self, name: str, values: Tensor | float) -> Field:
        """The same field with another value of a number that its conditioner gives, such as "end_time".

        Args:
            values: one for all samples or one for each.
        """
        conditioner: Any = self.model.conditioner
        each = self.times(self.cond, values)
        null = None if self.null is None else conditioner.with_number(self.null, name, each)
        cond = conditioner.with_number(self.cond, name, each)
        return Field(self.model, self.loss, cond, guidance=self.guidance, null=null)

    def output(self, x: Tensor, t: Tensor) -> Tensor:
        """The network's output, guided."""
        if self.guidance is None:
            return self._predict(x, t, self.cond)
        assert self.null is not None
        return self.guidance(self._predict, x, t, self.cond, self.null)

    def velocity(self, x: Tensor, t: Tensor | float) -> Tensor:
        times = self.times(x, t)
        return self.loss.velocity(self.output(x, times), x, times)

    def data(self, x: Tensor, t: Tensor | float) -> Tensor:
        times = self.times(x, t)
        return self.loss.data(self.output(x, times), x, times)

    def estimates(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """The estimates of (x_1, x_0) from one evaluation of the network."""
        times = self.times(x, t)
        output = self.output(x, times)
        return self.loss.data(output, x, times), self.loss.noise(output, x, times)

    def times(self, x: Tensor, t: Tensor | float) -> Tensor:
        # A number is filled in where x is: to copy it there would wait for what the device is doing.
        if not isinstance(t, Tensor):
            return torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        return t.to(x.device, torch.float32).expand(len(x))

    def _predict(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
        shown, times = self.loss.inputs(x, t)
        return self.model(shown, times, cond)[0].float()
