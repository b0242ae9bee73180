"""Consistency distillation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from genever.slots import Average, Distance, Guidance
from genever.training import Composition, Method, Regression, Round
from torch import nn

from genever_plugins.distiller.consistency_matching import ConsistencyMatching, with_target
from genever_plugins.distiller.discretisation import interval
from genever_plugins.distiller.few_steps import Renoising, check_times
from genever_plugins.distiller.neighbours import OfTeacher

__all__ = ["ConsistencyDistillation"]


@dataclass(frozen=True, kw_only=True)
class ConsistencyDistillation:
    """Map every point of the teacher's trajectories to where they end, in one step.

    The consistency function f(x, t) is the student's step from t to the end of the path: x + (1 - t) u(x, t) on the straight
    one. At the end it is x, whatever the network says; and so that it is the same all along a trajectory,

        distance(f(x_t, t), sg f⁻(x_s, s)) / (s - t)

    is made small, where x_s is the teacher's step from x_t at t to the next point s of a grid that is even in t. The paper's
    grid is one of noise levels.

    Times are those of train.sampler, taken down to the grid. Samples in one step are made at its first time, which a
    sampler that prefers the middle of the path seldom draws: set @Uniform(). Nothing but the end of the path holds f in
    place, so rates of learning may have to be lower than where a target is fixed. The student is sampled unguided.

    Args:
        num_intervals: of the grid. Few are learned fast, and many lead closer to the teacher's own path.
        order: of the teacher's step: 'heun', with two evaluations of the teacher, or 'ddim', with one.
        guidance: of the teacher, built into the student. None = conditional.
        average: f⁻ is this average of the student, for one more network's memory; decay 0.95 in the paper. None = f⁻ is the
            student.
        distance: between two ends. None = the mean square.
        num_steps: in which the student is sampled: each but the first begins with new noise on what the one before made.
        times: of these steps, rising from 0 (noise). None = even.

    References:
        Song et al., Consistency Models, 2023, algorithms 1 and 2. arXiv:2303.01469
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start",)

    num_intervals: Annotated[int, Ge(1)] = 18
    order: Literal["ddim", "heun"] = "heun"
    guidance: Guidance | None = None
    average: Average | None = None
    distance: Distance | None = None
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_times("distiller.ConsistencyDistillation", self.num_steps, self.times)

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        loss, teacher = composition.loss, composition.teacher

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return ConsistencyMatching(
                roles=with_target({"model": method.model, "teacher": teacher}, composition, self.average),
                base=method,
                intervals=lambda t, step: interval(loss.path, self.num_intervals, t),
                neighbour=OfTeacher(teacher=teacher, loss=loss, guidance=self.guidance, order=self.order),
                distance=self.distance,
                average=self.average,
            )

        return [Round(name="consistency", start=start, solver=Renoising(num_steps=self.num_steps, times=self.times))]
