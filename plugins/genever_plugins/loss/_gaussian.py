"""What the losses on a Gaussian path share: every conversion is the solution of two linear equations."""

from __future__ import annotations

from abc import ABC, abstractmethod

from genever.slots import Distance, Path, Weighting
from jaxtyping import Float
from torch import Tensor

from genever_plugins.loss._error import over, weighted_error

__all__ = ["Gaussian"]


class Gaussian(ABC):
    """A loss whose network returns a mixture of data and noise: F = a(t) x_1 + b(t) x_0.

    Together with x_t = alpha x_1 + sigma x_0 that fixes both, on any path, where alpha b - sigma a is not 0:

        x_1 = (b x_t - sigma F) / (alpha b - sigma a),   x_0 = (alpha F - a x_t) / (alpha b - sigma a).

    A subclass says a and b, what the network is shown, and nothing else.
    """

    path: Path
    prediction: str
    weighting: Weighting | None
    distance: Distance | None

    @abstractmethod
    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def mixture(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the target a x_1 + b x_0."""

    @abstractmethod
    def scale(self, t: Tensor) -> Tensor | float:
        """How much `prediction` changes with the output: 1 where the network returns just what `prediction` names.

        A weighting is relative to the plain error of `prediction`, which is scale² times the error of the output.
        """

    def data(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        times = over(t, x_t)
        _, b = self.mixture(times)
        return (b * x_t - self.path.sigma(times) * output) / self._determinant(times)

    def noise(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        times = over(t, x_t)
        a, _ = self.mixture(times)
        return (self.path.alpha(times) * output - a * x_t) / self._determinant(times)

    def velocity(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """alpha' x_1 + sigma' x_0 of the two estimates, gathered by what it multiplies."""
        times = over(t, x_t)
        a, b = self.mixture(times)
        of_x = self.path.d_alpha(times) * b - self.path.d_sigma(times) * a
        return (of_x * x_t + self._wronskian(times) * output) / self._determinant(times)

    def score(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """-x_0 / sigma of the estimate; a sigma below 1e-5 is taken as 1e-5."""
        return -self.noise(output, x_t, t) / self.path.sigma(over(t, x_t)).clamp_min(1e-5)

    def pair(self, velocity: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        times, path = over(t, x_t), self.path
        wronskian = self._wronskian(times)
        x_1 = (path.d_sigma(times) * x_t - path.sigma(times) * velocity) / wronskian
        x_0 = (path.alpha(times) * velocity - path.d_alpha(times) * x_t) / wronskian
        return x_1, x_0

    def errors(
        self, output: Tensor, *, x_t: Tensor, t: Float[Tensor, " batch"], x_1: Tensor, x_0: Tensor
    ) -> Float[Tensor, " batch"]:
        a, b = self.mixture(over(t, x_t))
        return weighted_error(output, a * x_1 + b * x_0, weights=self._weights(t), distance=self.distance)

    def _weights(self, t: Float[Tensor, " batch"]) -> Float[Tensor, " batch"] | None:
        if self.weighting is None:
            return None
        return self.weighting(t, path=self.path, prediction=self.prediction) * self.scale(t) ** 2

    def _determinant(self, t: Tensor) -> Tensor:
        a, b = self.mixture(t)
        return self.path.alpha(t) * b - self.path.sigma(t) * a

    def _wronskian(self, t: Tensor) -> Tensor:
        return self.path.alpha(t) * self.path.d_sigma(t) - self.path.d_alpha(t) * self.path.sigma(t)
