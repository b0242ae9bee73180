"""Easy consistency tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import Distance, Path
from genever.training import Composition, Method, Regression, Round
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency_matching import ConsistencyMatching
from genever_plugins.distiller.few_steps import Renoising, check_times
from genever_plugins.distiller.neighbours import OfData

__all__ = ["ECT"]


@dataclass(frozen=True, kw_only=True)
class ECT:
    """From a diffusion model to a consistency model by shorter and shorter intervals, without a teacher.

    As distiller.ConsistencyTraining, without a grid: from t, the other end s lies so that of what is left of the path

        (stop - s) / (stop - t) = max(0, 1 - n(t) / q^(stage + 1)),   n(t) = 1 + k sigmoid(-b sigma(t) / alpha(t)),

    where the stage counts from 0. Where it is 0 the target is data itself: at first, near data, this is the base method.
    The paper writes r / t for it, ratios of noise levels; near data that is the same, and near noise, where levels of the
    straight path are without bound, intervals stay part of the path. A start is what makes it fast; it may begin from
    scratch.

    Args:
        num_stages: equal parts of the training, each with intervals shorter than the one before.
        q: by which intervals shrink from stage to stage.
        k, b: how much longer intervals are near data, and at which level of noise they begin to be.
        distance: between two ends.
        num_steps: in which the student is sampled: each but the first begins with new noise on what the one before made.
        times: of these steps, rising from 0 (noise). None = even.

    References:
        Geng et al., Consistency models made easy, 2024, section 3. arXiv:2406.14548
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, str]] = {"distance": "distance.Huber"}

    num_stages: Annotated[int, Ge(1)] = 8
    q: Annotated[float, Gt(1)] = 2.0
    k: Annotated[float, Ge(0)] = 8.0
    b: Annotated[float, Ge(0)] = 1.0
    distance: Distance
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_times("distiller.ECT", self.num_steps, self.times)

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        path, num_steps = composition.loss.path, composition.stage.steps

        def intervals(t: Tensor, step: int) -> tuple[Tensor, Tensor]:
            return t, self.other_end(path, t, stage=step * self.num_stages // num_steps)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            return ConsistencyMatching(
                roles={"model": method.model},
                base=method,
                intervals=intervals,
                neighbour=OfData(base=method),
                distance=self.distance,
            )

        return [Round(name="consistency", start=start, solver=Renoising(num_steps=self.num_steps, times=self.times))]

    def other_end(self, path: Path, t: Float[Tensor, " batch"], *, stage: int) -> Float[Tensor, " batch"]:
        n = 1 + self.k * torch.sigmoid(-self.b * path.sigma(t) / path.alpha(t))
        left = (1 - n / self.q ** (stage + 1)).clamp_min(0)
        return path.stop - left * (path.stop - t)
