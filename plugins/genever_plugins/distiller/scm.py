"""Continuous-time consistency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt
from genever.slots import Guidance
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Update
from torch import Tensor, nn

from genever_plugins.distiller.consistency import wide
from genever_plugins.distiller.few_steps import Renoising, check_times
from genever_plugins.distiller.jvp import derivative_along
from genever_plugins.distiller.student import Student

__all__ = ["SCM"]


@dataclass(frozen=True, kw_only=True)
class SCM:
    """Consistency without intervals: the derivative of f along the trajectory is made 0.

    On the straight path, where f(x, t) = x + (1 - t) u(x, t) and the trajectory has the velocity v,

        df/dt = (v - u) + (1 - t) du/dt,   du/dt = ∂u/∂x · v + ∂u/∂t,

    and the student's u is drawn to

        u + g / (|g| + c),   g = (v - u) + r (1 - t) du/dt,

    without gradient through it; |g| is a root mean square over dimensions. While r rises from 0 to 1, flow matching turns
    into this. It is the paper's tangent up to a factor cos²: its trigonometric time tan(angle) = (1 - t) / t is the straight
    path at the same ratio of signal to noise, so a model of the straight path needs no wrapping. v is the teacher's velocity
    (sCD in the paper), or that of the data and its noise (sCT).

    du/dt costs about two evaluations of the student, in float32. It is large where a network reads the time finely (see
    time_scale of the backbones). Times are those of train.sampler; the student is sampled unguided.

    Args:
        velocity: 'teacher' = that of train.start; 'data' = no teacher.
        guidance: of the teacher, built into the student. None = conditional.
        warmup_steps: in which r rises. 0 = r is 1 from the first step.
        c: from which length on a tangent is shortened to about 1.
        derivative: 'exact' = by forward-mode differentiation; 'finite_differences' = for networks without it.
        num_steps: in which the student is sampled: each but the first begins with new noise on what the one before made.
        times: of these steps, rising from 0 (noise). None = even.

    References:
        Lu and Song, Simplifying, stabilizing and scaling continuous-time consistency models, 2024, eq. (6) and section 4.
            arXiv:2410.11081
        Chen et al., SANA-Sprint: One-step diffusion with continuous-time consistency distillation, 2025. arXiv:2503.09641
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("loss.straight", "backbone.forward_mode | self.derivative='finite_differences'")

    velocity: Literal["teacher", "data"] = "teacher"
    guidance: Guidance | None = None
    warmup_steps: Annotated[int, Ge(0)] = 1000
    c: Annotated[float, Gt(0)] = 0.1
    derivative: Literal["exact", "finite_differences"] = "exact"
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_times("distiller.SCM", self.num_steps, self.times)
        if self.guidance is not None and self.velocity == "data":
            raise ValueError(
                "distiller.SCM.guidance guides a teacher, but distiller.SCM.velocity = 'data' asks for none. "
                "Leave one of the two out."
            )

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        taught = {"teacher": composition.teacher} if self.velocity == "teacher" else {}

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return ContinuousConsistency(part=self, roles={"model": method.model, **taught}, base=method)

        return [Round(name="consistency", start=start, solver=Renoising(num_steps=self.num_steps, times=self.times))]


@dataclass(frozen=True, kw_only=True)
class ContinuousConsistency(Student):
    """`genever.training.Method`: regress the student's velocity, moved along a normalised tangent."""

    part: SCM

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(lambda batch: self.losses(batch, step))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        loss, t = self.base.loss, self.base.times(batch)
        x_t = self.base.corrupt(batch.x_1, batch.noise(), t)
        output = batch.field(self.roles["model"], loss).output(x_t, t)
        own = loss.velocity(output.detach(), x_t, t)
        tangent = self.tangent(batch, x_t, t, own, step)
        x_1, x_0 = loss.pair(own + normalised(tangent, self.part.c), x_t, t)
        return {"loss": loss.errors(output, x_t=x_t, t=t, x_1=x_1, x_0=x_0).mean()}

    def tangent(self, batch: Batch, x_t: Tensor, t: Tensor, own: Tensor, step: int) -> Tensor:
        """df/dt, its second term as far as it is warmed up.

        Args:
            own: the student's velocity.
        """
        velocity = self.velocity(batch, x_t, t)
        warm = min(1.0, step / self.part.warmup_steps) if self.part.warmup_steps else 1.0
        if warm == 0:
            return velocity - own
        student = batch.field(self.roles["model"], self.base.loss)
        change = derivative_along(student.velocity, x_t, t, velocity, path=self.base.loss.path, how=self.part.derivative)
        return velocity - own + warm * wide(1 - t, x_t) * change

    @torch.no_grad()
    def velocity(self, batch: Batch, x_t: Tensor, t: Tensor) -> Tensor:
        if self.part.velocity == "data":
            return batch.x_1 - batch.noise()
        return batch.field(self.roles["teacher"], self.base.loss, self.part.guidance).velocity(x_t, t)


def normalised(tangent: Tensor, c: float) -> Tensor:
    """tangent / (|tangent| + c), |tangent| the root mean square of each sample."""
    length = tangent.square().flatten(1).mean(1).sqrt()
    return tangent / wide(length + c, tangent)
