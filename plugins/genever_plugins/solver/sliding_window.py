"""Noise in a few steps in a row, which move on as training does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from genever.slots import Solver

from genever_plugins.solver._windowed import Windowed

__all__ = ["SlidingWindow"]


@dataclass(frozen=True, kw_only=True)
class SlidingWindow(Windowed):
    """Another solver, noisy in a window of steps that moves from noise towards data as training goes on, else the ODE.

    For aligner.FlowGRPO, which learns from noisy steps alone. Where the solver keeps the flow's marginals, so does this.
    When the window would reach the last step it returns to where it began. Whoever samples elsewhere gets the window of
    training step 0.

    Args:
        solver: its steps are taken, with noise and without.
        size: steps of the window.
        first: solver step, from 0, that the window begins at.
        stride: solver steps that it moves by.
        every: training steps between two moves. None = it stays where it is.

    References:
        Li et al., MixGRPO: Unlocking Flow-based GRPO Efficiency with Mixed ODE-SDE, 2025. arXiv:2507.21802
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ("solver.log_probs",)

    solver: Solver
    size: Annotated[int, Ge(1)] = 4
    first: Annotated[int, Ge(0)] = 0
    stride: Annotated[int, Ge(1)] = 1
    every: Annotated[int, Ge(1)] | None = 25

    def __post_init__(self) -> None:
        if not self._starts:
            raise ValueError(
                f"solver.SlidingWindow.size = {self.size} steps from solver.SlidingWindow.first = {self.first} on do not "
                f"fit into the solver's num_steps = {self.num_steps}, the last of which is never noisy. "
                "Choose a smaller window, an earlier one, or more steps."
            )

    def window(self, step: int, *, seed: int) -> range:
        """It follows from the training step alone."""
        moves = 0 if self.every is None else step // self.every
        start = self._starts[moves % len(self._starts)]
        return range(start, start + self.size)

    @property
    def _starts(self) -> range:
        return range(self.first, self.num_steps - self.size, self.stride)
