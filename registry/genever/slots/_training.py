"""What carries a training: schedules, optimizers, averages, processes, trackers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import nn

    from genever.training import World

__all__ = ["Average", "Optimizer", "Parallel", "ProfiledAverage", "Schedule", "Tracker", "Writer"]


@runtime_checkable
class Schedule(Protocol):
    """The factor on a learning rate: a pure function of the step."""

    def __call__(self, step: int, num_steps: int) -> float: ...


@runtime_checkable
class Optimizer(Protocol):
    """Builds torch optimizers for one group of parameters."""

    @property
    def schedule(self) -> Schedule | None: ...
    def build(self, parameters: Mapping[str, nn.Parameter]) -> Sequence[torch.optim.Optimizer]: ...


@runtime_checkable
class Average(Protocol):
    """The decay of an exponential moving average of weights: a pure function of the step."""

    def decay_at(self, step: int) -> float:
        """average <- decay * average + (1 - decay) * weights, after step `step` (the first is 0)."""
        ...


@runtime_checkable
class ProfiledAverage(Average, Protocol):
    """An average out of whose snapshots those of other lengths can be put together: what provides "profile".

    After n steps its profile p over [0, n] integrates to 1, and the weights of step s (from 0) count by the integral over
    [s, s + 1].
    """

    @property
    def length(self) -> float:
        """The profile's standard deviation as a share of n."""
        ...

    def of_length(self, length: float) -> Self:
        """The same kind of average of another length. Raises ValueError where there is none."""
        ...

    def overlap(self, num_steps: int, other: Self, other_num_steps: int) -> float:
        """The integral of the product of two profiles, each after so many steps."""
        ...


@runtime_checkable
class Parallel(Protocol):
    """Lays out networks over the processes that train together, and sums up their gradients."""

    def lay_out(self, module: nn.Module, *, learns: bool, world: World) -> Callable[[bool], None]:
        """Prepares a network in place: whoever holds it goes on calling it. Never called where one process trains alone.

        Args:
            learns: whether the parameters that require a gradient now will learn. False = the network is frozen.

        Returns:
            A switch: whether the next backward pass has to leave the mean gradient of all processes, or may keep its own.
        """
        ...


@runtime_checkable
class Writer(Protocol):
    """An open tracker."""

    def scalars(self, values: Mapping[str, float], step: int) -> None: ...
    def image(self, name: str, file: FilePath, step: int) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class Tracker(Protocol):
    """Follows a run as it goes. `step` is where a resumed run goes on: anything later is to be dropped."""

    def open(self, directory: FilePath, *, step: int, config: Mapping[str, Any]) -> Writer: ...
