"""Where the next point of a trajectory comes from: a teacher, or the data's own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from genever.slots import Guidance, Loss
from genever.training import Batch, Field, Regression
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency import step, wide

__all__ = ["Neighbour", "OfData", "OfTeacher"]


@runtime_checkable
class Neighbour(Protocol):
    """x at s, near x_t on the trajectory through it. Called without gradient."""

    def __call__(
        self, batch: Batch, x_t: Tensor, t: Float[Tensor, " batch"], s: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch channels height width"]: ...


@dataclass(frozen=True, kw_only=True)
class OfData:
    """The same data and the same noise at s: one step along the velocity of this very pair."""

    base: Regression

    def __call__(self, batch: Batch, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return self.base.corrupt(batch.x_1, batch.noise(), s)


@dataclass(frozen=True, kw_only=True)
class OfTeacher:
    """One step of a teacher's ordinary differential equation.

    Args:
        guidance: of the teacher. None = conditional.
        order: 'ddim' = one evaluation; 'heun' = two, the mean of the velocities at both ends.
    """

    teacher: nn.Module
    loss: Loss
    guidance: Guidance | None = None
    order: Literal["ddim", "heun"] = "ddim"

    def __call__(self, batch: Batch, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        field = batch.field(self.teacher, self.loss, self.guidance)
        return step(field, x_t, t, s) if self.order == "ddim" else _heun(field, x_t, t, s)


def _heun(field: Field, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    here, length = field.velocity(x, t), wide(s - t, x)
    there = field.velocity(x + length * here, s)
    return x + length / 2 * (here + there)
