"""The mean velocity U(x, t, s) between two times, as a network says it that is told where a step ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from genever.slots import Loss
from genever.training import Batch, Composition, Field, Regression, derived_seed
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from genever_plugins.distiller.consistency import wide

__all__ = ["MeanSteps", "check_learned", "errors_of", "mean_velocity", "of_rows", "spread"]

_NUMBER = "end_time"


def mean_velocity(model: nn.Module, loss: Loss, cond: Tensor, s: Tensor | float) -> Field:
    """The field of the mean velocities of steps that end at s: its `velocity(x, t)` is U(x, t, s).

    Args:
        s: one time for all samples or one for each.
    """
    return Field(model, loss, cond).with_number(_NUMBER, s)


@dataclass(frozen=True, kw_only=True)
class MeanSteps:
    """`genever.slots.Solver`: x_s = x_t + (s - t) U(x_t, t, s) on an even grid, exact where U is."""

    num_steps: int

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = torch.linspace(field.path.start, field.path.stop, self.num_steps + 1, device=noise.device)
        x = field.path.sigma(times[0]) * noise
        for t, s in zip(times[:-1].unbind(), times[1:].unbind(), strict=True):
            x = x + (s - t) * field.with_number(_NUMBER, s).velocity(x, t)
        return x


def errors_of(
    base: Regression, model: nn.Module, cond: Tensor, *, x_t: Tensor, t: Tensor, s: Tensor, target: Tensor
) -> Float[Tensor, " batch"]:
    """The loss's error of each sample's U(x_t, t, s), of which `target` is what it should be."""
    output = mean_velocity(model, base.loss, cond, s).output(x_t, t)
    x_1, x_0 = base.loss.pair(target, x_t, t)
    return base.loss.errors(output, x_t=x_t, t=t, x_1=x_1, x_0=x_0)


def spread(batch: Batch, share: float, name: str) -> tuple[Bool[Tensor, " batch"], Int[Tensor, " some"]]:
    """A share of the samples, evenly spread over the places of the global batch: which ones, and their rows.

    How many there are is known without asking the device. Where a part of a batch has none of them, one of its others is
    among the rows, so that all processes call their networks as often; at a share of 0 there is no row.

    Args:
        name: of the draw that says where the first one is.
    """
    first = derived_seed(*batch.draws.key, name) / 2**63
    places = range(batch.draws.total)[batch.draws.rows]
    chosen = [math.floor((place + 1) * share + first) > math.floor(place * share + first) for place in places]
    rows = [row for row, one in enumerate(chosen) if one] or ([0] if share else [])
    device = batch.x_1.device
    return torch.tensor(chosen).to(device, non_blocking=True), torch.tensor(rows).long().to(device, non_blocking=True)


def check_learned(part: str, method: Regression, composition: Composition) -> None:
    """Raises ValueError where the network would never learn what the end of a step means."""
    if not any(name.startswith(f"model.network.numbers.{_NUMBER}.") for name in method.learns):
        raise ValueError(
            f"distiller.{part} teaches the model what the end of a step means, but train.tuner = "
            f"{type(composition.stage.tuner).__name__} leaves alone what reads it. Tune by @Full()."
        )


def of_rows(chosen: Bool[Tensor, " batch"], rows: Int[Tensor, " some"], target: Tensor, found: Tensor) -> Tensor:
    """`target`, with what was found of some rows in place of the chosen ones among them."""
    kept = torch.where(wide(chosen[rows], target), found, target[rows])
    return target.index_copy(0, rows, kept)
