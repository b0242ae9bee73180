"""Coefficients-preserving sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.training import Field
from jaxtyping import Float
from torch import Tensor

from genever_plugins.solver._gaussian_steps import walk
from genever_plugins.solver._grid import grid

__all__ = ["CPS"]


@dataclass(frozen=True, kw_only=True)
class CPS:
    """Replace a fixed share of the noise in every step: x' = alpha' x_1 + sigma' (cos(w) x_0 + sin(w) z).

    w = noise_level pi / 2; x_1 and x_0 are the estimates of data and noise, primes are at the step's end, on any Gaussian
    path. It is DDIM with another strength of noise, one that does not fall with the length of the steps. So images look
    clean, since data and noise keep their coefficients, but the marginals are *not* those of the flow, however many steps
    there are: an estimate of noise varies less than noise does, and every step loses some of that.

    Args:
        num_steps: evaluations of the field.
        noise_level: 0 = DDIM without noise, whose steps have no probability; 1 = all noise is new.
        shift: > 1 puts more steps near noise, as large images need (see sampler.Shifted). 1 = even in t.

    References:
        Wang and Yu, Coefficients-Preserving Sampling for Reinforcement Learning with Flow Matching, 2025. arXiv:2509.05952
    """

    provides: ClassVar[tuple[str, ...]] = ("log_probs",)
    needs: ClassVar[tuple[str, ...]] = ()

    num_steps: Annotated[int, Ge(1)] = 10
    noise_level: Annotated[float, Ge(0), Le(1)] = 0.8
    shift: Annotated[float, Gt(0)] = 1.0

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return walk(self, field, noise, generator)

    def noisy_steps(self, step: int, *, seed: int) -> Sequence[int]:
        """All but the last."""
        return range(self.num_steps - 1 if self.noise_level else 0)

    def step(self, field: Field, x: Tensor, i: int, *, noisy: bool = True) -> tuple[Tensor, Tensor]:
        """Mean, shaped as x, and standard deviation, one number, after step i from x. Without noise: DDIM's step and 0."""
        t, after = grid(field.path, self.num_steps, self.shift, x.device)[i : i + 2].unbind()
        x_1, x_0 = field.estimates(x, t)
        alpha, sigma = field.path.alpha(after), field.path.sigma(after)
        angle = math.pi / 2 * self.noise_level if noisy else 0.0
        return alpha * x_1 + sigma * math.cos(angle) * x_0, sigma * math.sin(angle)

    def log_prob(self, x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
        """-(x_next - mean)² in float32, a mean over dimensions: as published, log Normal times 2 std² but for a constant."""
        return -(x_next.float() - mean.float()).square().flatten(1).mean(1)
