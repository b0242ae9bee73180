"""Shortcut models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.slots import Average
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Update, frozen_copy
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency import wide
from genever_plugins.distiller.mean_velocity import (
    MeanSteps,
    check_learned,
    errors_of,
    mean_velocity,
    of_rows,
    spread,
)
from genever_plugins.distiller.student import Student

__all__ = ["Shortcut"]


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """Learn steps of every length at once, from scratch: one long step is two of half its length.

    U(x, t, s) is the velocity with which a step from t to s is taken. Steps have the lengths 1, 1/2, 1/4, ... of the path
    and begin at multiples of them. For a share of the samples, a step of the length 2 d is drawn to

        (v_1 + v_2) / 2,   v_1 = U(x_t, t, t + d),   v_2 = U(x_t + d v_1, t + d, t + 2 d)

    of a moving average of the model; of the shortest length d, it is asked for U(x, t, t) instead. The other samples learn
    U(x, t, t) by flow matching, at times of train.sampler.

    The model reads s: train.conditioner is @EndTime() around another. It may start from a run without it. Unlike in the
    authors' code, nothing is clipped.

    Args:
        share: of samples that learn a step, in (0, 1]; the others learn the velocity.
        finest_steps: 1 / the shortest length d; a power of 2, at least 2.
        average: whose model makes the targets; decay 0.999 in the authors' code. A short training needs a smaller one.
        num_steps: in which the model is sampled: a power of 2, at most finest_steps / 2.

    References:
        Frans et al., One step diffusion via shortcut models, 2024, eq. (5), section 3.2. arXiv:2410.12557
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("loss.straight", "loss.velocity", "conditioner.end_time")
    defaults: ClassVar[dict[str, str]] = {"average": "average.Constant"}

    share: Annotated[float, Gt(0), Le(1)] = 0.125
    finest_steps: Annotated[int, Ge(2)] = 128
    average: Average
    num_steps: Annotated[int, Ge(1)] = 1

    def __post_init__(self) -> None:
        if self.finest_steps.bit_count() != 1:
            raise ValueError(
                f"distiller.Shortcut.finest_steps = {self.finest_steps} is no power of 2, so its steps do not double to "
                "one. Choose one that is, such as 128."
            )
        if self.num_steps.bit_count() != 1 or self.num_steps > self.finest_steps // 2:
            possible = ", ".join(str(2**k) for k in range(self.num_lengths))
            raise ValueError(
                f"distiller.Shortcut.num_steps = {self.num_steps} asks for steps of a length that is not learned. "
                f"Choose one of {possible}, or more finest_steps."
            )

    @property
    def num_lengths(self) -> int:
        """How many lengths of steps are learned beside the velocity."""
        return self.finest_steps.bit_length() - 1

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        check_learned("Shortcut", method, composition)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            roles = {"model": method.model, "target": frozen_copy(composition.model)}
            return SelfConsistency(part=self, roles=roles, base=method)

        solver = MeanSteps(num_steps=self.num_steps)
        return [Round(name="shortcut", start=start, solver=solver, guidance=composition.guidance)]


@dataclass(frozen=True, kw_only=True)
class SelfConsistency(Student):
    """`genever.training.Method`: regress steps on two half ones of the averaged model, and the velocity on the data's."""

    part: Shortcut

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        # What is not frozen is put into training mode, but targets have no dropout.
        self.roles["target"].eval()
        yield from data.updates_with_report(self.losses)

    def losses(self, batch: Batch, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """The error of all samples; notes those of both kinds in `seen`."""
        t, s = self.times(batch)
        x_t, cond = self.base.corrupt(batch.x_1, batch.noise(), t), batch.training_cond()
        target = self.target(batch, x_t, t, s)
        errors = errors_of(self.base, self.roles["model"], cond, x_t=x_t, t=t, s=s, target=target)
        is_step = (s > t).float()
        seen["step_error"] = (is_step * errors.detach()).mean() / self.part.share
        return {"loss": errors.mean()}

    def times(self, batch: Batch) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Where each sample's step begins, and where it ends; for most of them both are the same."""
        path, chosen = self.base.loss.path, spread(batch, self.part.share, "shortcut")[0]
        num_steps = 2 ** batch.draws.integers("step length", self.part.num_lengths)
        number = (batch.draws.uniform("step number") * num_steps).floor()
        t = self.base.times(batch)
        first, last = (path.start + (path.stop - path.start) * k / num_steps for k in (number, number + 1))
        return torch.where(chosen, first, t), torch.where(chosen, last, t)

    @torch.no_grad()
    def target(self, batch: Batch, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """u of the sample, and of the chosen ones what two half steps make."""
        u = batch.x_1 - batch.noise()
        chosen, rows = spread(batch, self.part.share, "shortcut")
        return of_rows(chosen, rows, u, self.two_steps(x_t[rows], t[rows], s[rows], batch.training_cond()[rows]))

    def two_steps(self, x_t: Tensor, t: Tensor, s: Tensor, cond: Tensor) -> Tensor:
        """The velocity that leads in one step from x_t at t to where the averaged model's two steps lead."""
        middle, path = (t + s) / 2, self.base.loss.path
        is_finest = (s - t) < 3 / self.part.finest_steps * (path.stop - path.start)

        def velocity(x: Tensor, begin: Tensor, end: Tensor) -> Tensor:
            told = torch.where(is_finest, begin, end)
            return mean_velocity(self.roles["target"], self.base.loss, cond, told).velocity(x, begin)

        first = velocity(x_t, t, middle)
        second = velocity(x_t + wide(middle - t, x_t) * first, middle, s)
        return (first + second) / 2  # eq. (5)

    def after(self, group: str, step: int) -> None:
        self.draw_target(self.part.average.decay_at(step))
