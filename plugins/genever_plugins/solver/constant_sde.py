"""A stochastic solver whose noise is as strong at every time."""

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

__all__ = ["ConstantSDE"]


@dataclass(frozen=True, kw_only=True)
class ConstantSDE:
    """Follow dx = (u + eta² score / 2) dt + eta dW on the straight path: its marginals are those of dx = u dt.

    An Euler-Maruyama step of length d has the mean x + d (u + eta² score / 2) and the standard deviation eta sqrt(d). The
    last step is the ODE's. Near data the score of what noise is left grows and eta does not fall: the step before the last
    turns that noise round, where it should shrink it, for more than 8 / eta² steps. Then solver.FlowSDE is better.

    Args:
        num_steps: evaluations of the field.
        eta: strength of the noise. 0 = Euler's method, whose steps have no probability.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Xue et al., DanceGRPO: Unleashing GRPO on Visual Generation, 2025. arXiv:2505.07818
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ("loss.straight",)

    num_steps: Annotated[int, Ge(1)] = 16
    eta: Annotated[float, Ge(0)] = 0.3
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return walk(self, field, noise, generator)

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """All but the last."""
        return range(self.num_steps - 1 if self.eta else 0)

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, after step i from x. Without noise: Euler's step and 0."""
        times = shifted_times(self.num_steps, self.shift, x.device)
        t, dt = times[i], times[i + 1] - times[i]
        return flow_sde_step(field, x, t, dt, variance=torch.full_like(t, self.eta**2 if noisy else 0.0))

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """log Normal(x_next; mean, std²) in float32: a mean over dimensions, not a sum."""
        return log_normal(x_next, mean, std)
