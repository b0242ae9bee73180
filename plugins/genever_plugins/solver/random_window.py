"""Noise in a few steps in a row, drawn anew in every training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from genever.slots import Solver
from genever.training import derived_seed

from genever_plugins.solver._windowed import Windowed

__all__ = ["RandomWindow"]


@dataclass(frozen=True, kw_only=True)
class RandomWindow(Windowed):
    """Another solver, noisy in a window of steps that each training step draws, and the ODE elsewhere.

    For aligner.FlowGRPO, which learns from noisy steps alone: fewer of them make a training step cheaper, and what is
    rewarded is owed to them. Where the solver keeps the flow's marginals, so does this. The window lies among the solver's
    first steps, where an image's outline is decided, and never on the last. Whoever samples elsewhere gets the window of
    training step 0.

    Args:
        solver: its steps are taken, with noise and without.
        size: steps of the window.
        within: share of the solver's steps, the first ones, that the window lies in.

    References:
        Liu et al., Flow-GRPO: Training Flow Matching Models via Online RL, 2025 (Flow-GRPO-Fast). arXiv:2505.05470
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ("solver.log_probs",)

    solver: Solver
    size: Annotated[int, Ge(1)] = 3
    within: Annotated[float, Gt(0), Le(1)] = 0.5

    def __post_init__(self) -> None:
        if self.size > self._limit:
            raise ValueError(
                f"solver.RandomWindow.size = {self.size} does not fit into the {self._limit} steps that "
                f"solver.RandomWindow.within = {self.within} of the solver's num_steps = {self.num_steps} allows; the last "
                "is never noisy. Choose a smaller window, a larger share, or more steps."
            )

    def window(self, step: int, *, seed: int) -> range:
        """It follows from (seed, step) alone."""
        start = derived_seed(seed, step, "window") % (self._limit - self.size + 1)
        return range(start, start + self.size)

    @property
    def _limit(self) -> int:
        return min(int(self.within * self.num_steps), self.num_steps - 1)
