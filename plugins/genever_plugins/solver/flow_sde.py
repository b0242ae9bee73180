"""A stochastic solver with the flow's marginals, and the probability of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.training import Field
from jaxtyping import Float
from torch import Tensor

from genever_plugins.solver._gaussian_steps import flow_sde_step, log_normal, walk
from genever_plugins.solver._grid import shifted_times

__all__ = ["FlowSDE"]


@dataclass(frozen=True, kw_only=True)
class FlowSDE:
    """Follow dx = (u + s² score / 2) dt + s dW on the straight path: its marginals are those of dx = u dt.

    s = noise_level sqrt((1 - t) / t). With the score that follows from u, an Euler-Maruyama step of length d from t is

        mean = x (1 - s² d / (2 (1 - t))) + u (1 + s² t / (2 (1 - t))) d,   std = s sqrt(d),

    a Gaussian of known probability. In s, t = 0 counts as the second time of the grid. Sampling takes the mean of the last
    step, so that no noise is left; whoever wants every step's probability steps by `step`.

    Args:
        num_steps: evaluations of the field.
        noise_level: 0 = Euler's method, whose steps have no probability.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Liu et al., Flow-GRPO: Training Flow Matching Models via Online RL, 2025. arXiv:2505.05470
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ("loss.straight",)

    num_steps: Annotated[int, Ge(1)] = 10
    noise_level: Annotated[float, Ge(0)] = 0.7
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return walk(self, field, noise, generator)

    def times(self, device: torch.device | None = None) -> Float[Tensor, " times"]:
        """num_steps + 1 times from 0 to 1."""
        return shifted_times(self.num_steps, self.shift, device)

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """All of them, the last too: its mean is that of the SDE."""
        return range(self.num_steps if self.noise_level else 0)

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, of x at times()[i + 1] given x at times()[i].

        Args:
            i: 0 .. num_steps - 1.
            noisy: False = Euler's step, whose standard deviation is 0.
        """
        times, level = self.times(x.device), self.noise_level if noisy else 0.0
        t, dt = times[i], times[i + 1] - times[i]
        return flow_sde_step(field, x, t, dt, variance=level**2 * (1 - t) / times[max(i, 1)])

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """log Normal(x_next; mean, std²) in float32: a mean over dimensions, not a sum."""
        return log_normal(x_next, mean, std)
