"""Consistency training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge
from genever.slots import Average, Distance
from genever.training import Composition, Method, Regression, Round
from torch import Tensor, nn

from genever_plugins.distiller.consistency_matching import ConsistencyMatching, with_target
from genever_plugins.distiller.discretisation import doubling, growing, interval
from genever_plugins.distiller.few_steps import Renoising, check_times
from genever_plugins.distiller.neighbours import OfData

__all__ = ["ConsistencyTraining"]


@dataclass(frozen=True, kw_only=True)
class ConsistencyTraining:
    """Map every point of a path to where it ends in one step, without a teacher.

    As distiller.ConsistencyDistillation, but x_s is the same data with the same noise at s. That is a step along the
    velocity of one pair and not along the mean velocity, so what is learned is right only as intervals shrink: their number
    grows while it learns. It may go on from a start or begin from scratch.

    Args:
        first_intervals: of the grid at the first step.
        last_intervals: at the last step.
        growth: 'doubling' = twice as many, as often as it takes, in equal parts of the training (iCT); 'root' = about as the
            square root of the step.
        average: f⁻ is this average of the student, for one more network's memory. None = f⁻ is the student (iCT).
        distance: between two ends.
        num_steps: in which the student is sampled: each but the first begins with new noise on what the one before made.
        times: of these steps, rising from 0 (noise). None = even.

    References:
        Song et al., Consistency Models, 2023, algorithm 3 and appendix C. arXiv:2303.01469
        Song and Dhariwal, Improved Techniques for Training Consistency Models, 2023. arXiv:2310.14189
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, str]] = {"distance": "distance.Huber"}

    first_intervals: Annotated[int, Ge(1)] = 10
    last_intervals: Annotated[int, Ge(1)] = 1280
    growth: Literal["doubling", "root"] = "doubling"
    average: Average | None = None
    distance: Distance
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_times("distiller.ConsistencyTraining", self.num_steps, self.times)
        if self.last_intervals < self.first_intervals:
            raise ValueError(
                f"distiller.ConsistencyTraining.last_intervals = {self.last_intervals} is less than "
                f"distiller.ConsistencyTraining.first_intervals = {self.first_intervals}. Intervals have to shrink: choose "
                f"{self.first_intervals} or more."
            )

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        path, num_steps = composition.loss.path, composition.stage.steps

        def intervals(t: Tensor, step: int) -> tuple[Tensor, Tensor]:
            return interval(path, self.num_intervals_at(step, num_steps), t)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return ConsistencyMatching(
                roles=with_target({"model": method.model}, composition, self.average),
                base=method,
                intervals=intervals,
                neighbour=OfData(base=method),
                distance=self.distance,
                average=self.average,
            )

        return [Round(name="consistency", start=start, solver=Renoising(num_steps=self.num_steps, times=self.times))]

    def num_intervals_at(self, step: int, num_steps: int) -> int:
        grow = doubling if self.growth == "doubling" else growing
        return grow(step, num_steps, self.first_intervals, self.last_intervals)
