"""What windows have in common: another solver, whose steps are noisy within the window alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from genever.slots import Solver, StochasticSolver
from genever.training import Field
from jaxtyping import Float
from torch import Tensor

from genever_plugins.solver._gaussian_steps import walk

__all__ = ["Windowed"]


class Windowed(ABC):
    """Another solver's noisy steps within a window, and its steps without noise elsewhere."""

    solver: Solver

    @abstractmethod
    def window(self, step: int, *, seed: int) -> range:
        """The solver's steps that may be noisy in a training step."""

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        window = self.window(step, seed=seed)
        return [i for i in self._solver.noisy_steps(step, seed=seed) if i in window]

    @property
    def num_steps(self) -> int:
        return self._solver.num_steps

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return walk(self, field, noise, generator)

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        return self._solver.step(field, x, i, noisy=noisy)

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        return self._solver.log_prob(x_next, mean, std)

    @property
    def _solver(self) -> StochasticSolver:
        return cast(StochasticSolver, self.solver)
