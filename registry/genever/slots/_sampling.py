"""From noise to samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from genever.training import Composition, Field
    from genever.values import Samples

__all__ = ["ComposedGuidance", "Guidance", "Solver", "StochasticSolver", "ToldGuidance"]


@runtime_checkable
class Solver(Protocol):
    """Goes from noise to data along a field."""

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        """x at `field.path.stop`. `noise` is standard normal; `generator` serves solvers that add noise on the way."""
        ...


@runtime_checkable
class StochasticSolver(Solver, Protocol):
    """A solver whose noisy steps are Gaussian, of known probability: what provides "log_probs".

    Rollouts step by `step` from sigma(path.start) times noise. They draw at every noisy step but the last, whose mean they
    take: no noise is left in data.
    """

    @property
    def num_steps(self) -> int: ...
    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """Which of its steps 0 .. num_steps - 1, ascending, are noisy at a training step; the others follow the ODE.

        Args:
            step: the training step, from 0.
            seed: whatever is drawn follows from (seed, step) alone.
        """
        ...

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, after step i from x; not noisy: the ODE's step and 0."""
        ...

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """How likely x_next is where a noisy step has this mean and std: a logarithm's mean over dimensions."""
        ...


@runtime_checkable
class Guidance(Protocol):
    """Combines network outputs under a condition and without it."""

    def __call__(
        self, predict: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, t: Tensor, cond: Tensor, null: Tensor
    ) -> Tensor:
        """`predict(x, t, cond)` is the network's output; x, t and cond may be any number of samples."""
        ...


@runtime_checkable
class ToldGuidance(Guidance, Protocol):
    """A guidance that reads what was asked for, such as a caption, which conditions of integers do not tell."""

    def told(self, samples: Samples) -> Guidance:
        """What guides these samples.

        Args:
            samples: the labels and captions of x, row by row; their images are not used.
        """
        ...


@runtime_checkable
class ComposedGuidance(Guidance, Protocol):
    """A guidance that looks at the stage before it guides: at another run, a reward, or how the model was trained.

    Whoever guides asks what `build` gives. A composition builds its own guidance and all that aligners and distillers name.
    """

    def build(self, composition: Composition) -> Guidance:
        """Itself, or what guides in its place and keeps it as its attribute `part`.

        Raises:
            ValueError: it cannot guide this stage's model.
        """
        ...
