"""What solvers whose steps are Gaussian share: the walk from noise to data, a step of an SDE, and its probability."""

from __future__ import annotations

import math

import torch
from genever.slots import StochasticSolver
from genever.training import Field
from jaxtyping import Float
from torch import Tensor

__all__ = ["flow_sde_step", "log_normal", "walk"]


def walk(solver: StochasticSolver, field: Field, noise: Tensor, generator: torch.Generator) -> Tensor:
    """From noise to data as a rollout goes at the first training step: the mean of the last step, so no noise is left."""
    noisy, path = solver.noisy_steps(0, seed=0), field.path
    x = path.sigma(torch.full((), path.start, device=noise.device)) * noise
    for i in range(solver.num_steps):
        x, std = solver.step(field, x, i, noisy=i in noisy)
        if i in noisy and i < solver.num_steps - 1:
            x = x + std * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return x


def flow_sde_step(field: Field, x: Tensor, t: Tensor, dt: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of an Euler-Maruyama step of dx = (u + s² score / 2) dt + s dW on the straight path.

    There score = (t u - x) / (1 - t). Without noise it is Euler's step, to the bit.

    Args:
        variance: s² at t.
    """
    pull = variance / (2 * (1 - t))
    mean = x * (1 - pull * dt) + field.velocity(x, t) * ((1 + pull * t) * dt)
    return mean, (variance * dt).sqrt()


def log_normal(x_next: Tensor, mean: Tensor, std: Tensor) -> Float[Tensor, " batch"]:
    """log Normal(x_next; mean, std²) in float32: a mean over dimensions, not a sum."""
    std = std.float()
    normalised = (x_next.float() - mean.float()) / std
    return (-normalised.square() / 2 - std.log() - math.log(2 * math.pi) / 2).flatten(1).mean(1)
