"""How straight a model's paths from noise to data are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Measures
from genever.training import Evaluation, Field, named
from jaxtyping import Float
from torch import Tensor

__all__ = ["Straightness", "bend"]


@dataclass(frozen=True, kw_only=True)
class Straightness:
    """How far paths are from straight lines ("straightness"): 0 = straight, so that one Euler step is exact.

    S = E ∫ |(x(1) - x(0)) - v(x_t, t)|² dt along the path of the learned ODE, a mean over dimensions, taken with Euler's
    method in even steps. Where a path's times do not go from 0 to 1, x(1) - x(0) is divided by their length.

    Args:
        num_steps: of Euler's method.
        num_samples: paths, with the conditions of the validation split in its order.

    References:
        Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, 2023.
            arXiv:2209.03003
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"straightness": "lower"}

    num_steps: Annotated[int, Ge(2)] = 32
    num_samples: Annotated[int, Ge(1)] = 256

    @torch.no_grad()
    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        dataset = evaluation.composition.validation
        wanted = dataset.fetch([number % len(dataset) for number in range(self.num_samples)])
        bends = bend(evaluation.field(wanted), evaluation.noise(self.num_samples), self.num_steps)
        return {"straightness": bends.mean().item()}

    def protocol(self, evaluation: Evaluation) -> str:
        guided = f", guided by {named(evaluation.guidance)}" if evaluation.guidance else ""
        return f"{self.num_samples:,} paths in {self.num_steps} steps of Euler{guided}"


def bend(field: Field, noise: Tensor, num_steps: int) -> Float[Tensor, " batch"]:
    """The mean square of each path's velocity around its mean: Euler's x(1) - x(0) is the mean of its velocities."""
    path = field.path
    step = (path.stop - path.start) / num_steps
    x = path.sigma(torch.as_tensor(path.start, device=noise.device)) * noise
    mean, sum_of_squares = torch.zeros_like(noise), torch.zeros_like(noise)
    for number in range(num_steps):
        velocity = field.velocity(x, path.start + number * step)
        x = x + step * velocity
        # Welford's update: velocities are kept by two sums, whatever the number of steps.
        before = velocity - mean
        mean = mean + before / (number + 1)
        sum_of_squares = sum_of_squares + before * (velocity - mean)
    return (path.stop - path.start) * (sum_of_squares / num_steps).flatten(1).mean(1)
