"""What a flow is trained by: its path, its loss, its training times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from genever.values import TimeContext

__all__ = ["Distance", "Loss", "Path", "Sampler", "Weighting"]


@runtime_checkable
class Path(Protocol):
    """A Gaussian probability path x_t = alpha(t) x_1 + sigma(t) x_0.

    `start` and `stop` are the times between which every function here and every conversion is finite: a solver goes from
    `start` (noise) to `stop` (data).

    It provides "straight" where x_t = t x_1 + (1 - t) x_0, and "signal_at_start" where alpha(start) > 0.
    """

    @property
    def start(self) -> float: ...
    @property
    def stop(self) -> float: ...
    def alpha(self, t: Tensor) -> Tensor: ...
    def sigma(self, t: Tensor) -> Tensor: ...
    def d_alpha(self, t: Tensor) -> Tensor:
        """d alpha / d t."""
        ...

    def d_sigma(self, t: Tensor) -> Tensor:
        """d sigma / d t."""
        ...


@runtime_checkable
class Weighting(Protocol):
    """The weight of each sample's error, relative to the plain error of a loss's own prediction kind."""

    def __call__(self, t: Float[Tensor, " batch"], *, path: Path, prediction: str) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Distance(Protocol):
    """The distance of a prediction from its target: a mean over dimensions, one number per sample."""

    def __call__(self, prediction: Tensor, target: Tensor) -> Float[Tensor, " batch"]: ...


@runtime_checkable
class Loss(Protocol):
    """The path, the prediction kind, the conversions, the weighting and the distance.

    `output` is always what the network returned for `inputs(x_t, t)`. Errors are means over dimensions, one per sample;
    whoever calls takes the mean over the batch. `prediction` names what an output is: 'velocity', 'noise', 'data', 'v',
    'score', or another word.

    It provides "straight" where its path is the straight one, or "path.*" where a path of any kind may be chosen; and
    "velocity" where its output is the velocity itself.
    """

    @property
    def path(self) -> Path: ...
    @property
    def prediction(self) -> str: ...

    def inputs(self, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """What the network is shown: a scaled x_t and a time [batch]. The identity for most losses."""
        ...

    def data(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of x_1."""
        ...

    def noise(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of x_0."""
        ...

    def velocity(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of dx_t / dt along this loss's path."""
        ...

    def score(self, output: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
        """The estimate of grad log p_t(x_t)."""
        ...

    def pair(self, velocity: Tensor, x_t: Tensor, t: Float[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """The (x_1, x_0) whose path goes through x_t at t with this velocity."""
        ...

    def errors(
        self, output: Tensor, *, x_t: Tensor, t: Float[Tensor, " batch"], x_1: Tensor, x_0: Tensor
    ) -> Float[Tensor, " batch"]:
        """Weighted error of each sample. Any target velocity is the pair `pair(velocity, x_t, t)`."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Draws training times in [0, 1]."""

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]: ...
