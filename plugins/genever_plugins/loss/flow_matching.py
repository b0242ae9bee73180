"""Flow matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._error import over, weighted_error

__all__ = ["FlowMatching"]


@dataclass(frozen=True, kw_only=True)
class FlowMatching:
    """Predict the velocity u = x_1 - x_0 of the straight path x_t = t x_1 + (1 - t) x_0.

    With the network's u: data = x_t + (1 - t) u, noise = x_t - t u, score = (t u - x_t) / (1 - t). Everything is finite
    on [0, 1] but the score at t = 1, where 1 - t is taken as 1e-5.

    Args:
        path: the straight one.
        weighting: of the velocity's error. None = 1 at every time.
        distance: between velocities. None = the mean square.

    References:
        Lipman et al., Flow Matching for Generative Modeling, 2023, eq. (9). arXiv:2210.02747
        Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, 2023, eq. (1).
            arXiv:2209.03003
    """

    provides: ClassVar[tuple[str, ...]] = ("velocity", "straight")
    needs: ClassVar[tuple[str, ...]] = ("path.straight",)
    defaults: ClassVar[dict[str, str]] = {"path": "path.Linear"}

    path: Path
    weighting: Weighting | None = None
    distance: Distance | None = None

    prediction = "velocity"

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        return x_t, t

    def data(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        return x_t + (1 - over(t, x_t)) * output

    def noise(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        return x_t - over(t, x_t) * output

    def velocity(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        return output

    def score(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        return -self.noise(output, x_t, t) / (1 - over(t, x_t)).clamp_min(1e-5)

    def pair(self, velocity: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        return self.data(velocity, x_t, t), self.noise(velocity, x_t, t)

    def errors(
        self, output: Tensor, *, x_t: Tensor, t: Float[Tensor, " batch"], x_1: Tensor, x_0: Tensor
    ) -> Float[Tensor, " batch"]:
        weights = None
        if self.weighting is not None:
            weights = self.weighting(t, path=self.path, prediction=self.prediction)
        return weighted_error(output, x_1 - x_0, weights=weights, distance=self.distance)
