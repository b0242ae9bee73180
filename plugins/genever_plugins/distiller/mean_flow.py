"""Mean flows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Update
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency import wide
from genever_plugins.distiller.jvp import derivative_along
from genever_plugins.distiller.mean_velocity import (
    MeanSteps,
    check_learned,
    errors_of,
    mean_velocity,
    of_rows,
    spread,
)
from genever_plugins.distiller.student import Student

__all__ = ["MeanFlow"]


@dataclass(frozen=True, kw_only=True)
class MeanFlow:
    """Learn the mean velocity between two times, from scratch: one step from noise to data is one evaluation.

    U(x_t, t, s) is the mean of the velocity over [t, s] along the trajectory through x_t, so x_s = x_t + (s - t) U. It obeys

        U = u + (s - t) dU/dt,   dU/dt = ∂U/∂x · u + ∂U/∂t,

    whose right side, without gradient, is what U is drawn to: u = x_1 - x_0 of the sample, U the model's own. At s = t it is
    flow matching. Each error e is divided by (e + c)^power, a number, so that no sample's large one leads the step.

    For a share of the samples t and s are two draws of train.sampler in order; for the others s = t is one. With guidance,
    u of a sample whose condition is not dropped is

        omega u + (1 - omega - kappa) U(x_t, t, t | none) + kappa U(x_t, t, t | condition),

    which makes the model guided by the scale omega / (1 - kappa), and it is sampled unguided.

    The model reads s: train.conditioner is @EndTime() around another. It may start from a run without it. dU/dt is taken of
    the share alone, at about two evaluations in float32, by forward-mode differentiation: attention is then the plain one
    of matrix products, recomputing blocks costs nothing, and layers of a third party or sharded ones may have no such
    derivative, which the first step says. It is large where a network reads the time finely (see time_scale of the
    backbones).

    Args:
        share: of samples with s above t, in [0, 1]. 0 = flow matching.
        omega: weight of the sample's own velocity, >= 0. 1, with kappa = 0, = no guidance.
        kappa: weight of the model's conditional velocity, in [0, 1): it makes the target less noisy.
        power: of the weight. 0 = every error counts as it is.
        c: error, a mean over dimensions, from which on errors count alike. The authors' 0.01 is of a sum.
        derivative: 'exact' = by forward-mode differentiation; 'finite_differences' = for networks without it.
        num_steps: even steps in which the model is sampled.

    References:
        Geng et al., Mean flows for one-step generative modeling, 2025, eq. (6), (10), section 4.2 and
            4.3. arXiv:2505.13447
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = (
        "loss.straight",
        "loss.velocity",
        "conditioner.end_time",
        "conditioner.unconditional | self.omega=1",
        "conditioner.unconditional | self.kappa=0",
        "backbone.forward_mode | self.derivative='finite_differences'",
    )

    share: Annotated[float, Ge(0), Le(1)] = 0.25
    omega: Annotated[float, Ge(0)] = 1.0
    kappa: Annotated[float, Ge(0), Lt(1)] = 0.0
    power: Annotated[float, Ge(0)] = 1.0
    c: Annotated[float, Gt(0)] = 0.01
    derivative: Literal["exact", "finite_differences"] = "exact"
    num_steps: Annotated[int, Ge(1)] = 1

    @property
    def guides(self) -> bool:
        return self.omega != 1 or self.kappa != 0

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        check_learned("MeanFlow", method, composition)
        if self.guides and not composition.stage.conditioner.dropout:
            raise ValueError(
                f"distiller.MeanFlow.omega = {self.omega} and distiller.MeanFlow.kappa = {self.kappa} guide by the model "
                "without its condition, which it never learns: its conditioner drops none. Set a dropout, or leave both out."
            )

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return MeanFlowMatching(part=self, roles={"model": method.model}, base=method)

        guidance = None if self.guides else composition.guidance
        return [Round(name="mean_flow", start=start, solver=MeanSteps(num_steps=self.num_steps), guidance=guidance)]


@dataclass(frozen=True, kw_only=True)
class MeanFlowMatching(Student):
    """`genever.training.Method`: regress the mean velocity on what its derivative says that it is."""

    part: MeanFlow

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates_with_report(self.losses)

    def losses(self, batch: Batch, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted error; notes the plain one in `seen`, since the other hardly moves where power = 1."""
        t, s = self.times(batch)
        x_t, cond = self.base.corrupt(batch.x_1, batch.noise(), t), batch.training_cond()
        target = self.target(batch, x_t, t, s)
        errors = errors_of(self.base, self.roles["model"], cond, x_t=x_t, t=t, s=s, target=target)
        seen["error"] = errors.detach().mean()
        return {"loss": (errors / (errors.detach() + self.part.c) ** self.part.power).mean()}

    def times(self, batch: Batch) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """t and s >= t of each sample; for most of them s = t."""
        one, other = self.base.times(batch), self.base.times(batch, "end time")
        chosen, _ = spread(batch, self.part.share, "mean flow")
        return torch.where(chosen, torch.minimum(one, other), one), torch.where(chosen, torch.maximum(one, other), one)

    @torch.no_grad()
    def target(self, batch: Batch, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """u + (s - t) dU/dt."""
        u = self.velocity(batch, x_t, t)
        chosen, rows = spread(batch, self.part.share, "mean flow")
        if not len(rows):
            return u
        cond, path = batch.training_cond()[rows], self.base.loss.path
        field = mean_velocity(self.roles["model"], self.base.loss, cond, s[rows])
        change = derivative_along(field.velocity, x_t[rows], t[rows], u[rows], path=path, how=self.part.derivative)
        return of_rows(chosen, rows, u, u[rows] + wide((s - t)[rows], u) * change)  # eq. (10)

    def velocity(self, batch: Batch, x_t: Tensor, t: Tensor) -> Tensor:
        """The sample's velocity, guided by the model's own."""
        u, cond, null = batch.x_1 - batch.noise(), batch.training_cond(), batch.null
        if not self.part.guides:
            return u
        omega, kappa = self.part.omega, self.part.kappa
        guided = omega * u + (1 - omega - kappa) * self.at_once(null, x_t, t)
        if kappa:
            guided = guided + kappa * self.at_once(cond, x_t, t)
        dropped = (cond == null).flatten(1).all(1)
        return torch.where(wide(dropped, u), u, guided)

    def at_once(self, cond: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The model's velocity U(x_t, t, t)."""
        return mean_velocity(self.roles["model"], self.base.loss, cond, t).velocity(x_t, t)
