"""Sampling in a few steps: estimate the data, noise the estimate to the next time, and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from genever.slots import Path
from genever.training import Batch, Field, Regression
from jaxtyping import Float
from torch import Tensor

__all__ = ["Renoising", "approach", "check_times", "noised_data", "step_times"]


@dataclass(frozen=True, kw_only=True)
class Renoising:
    """`genever.slots.Solver`: from noise alone estimates x_1, noises that with fresh noise to the next time, and again.

    Args:
        num_steps: evaluations of the network.
        times: see `step_times`.
    """

    num_steps: int
    times: Sequence[float] | None = None

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        times = step_times(field.path, self.num_steps, noise.device, self.times)
        x = approach(field, noise, times, lambda number: _like(noise, generator))
        return field.data(x, times[-1])


def step_times(
    path: Path, num_steps: int, device: torch.device, times: Sequence[float] | None = None
) -> Float[Tensor, " steps"]:
    """The times at which a student is asked, from the noisy end of the path on.

    Args:
        times: as `check_times` lets them pass; what lies outside of the path is brought to its end. None = evenly spaced.
    """
    if times is None:
        return torch.linspace(path.start, path.stop, num_steps + 1, device=device)[:-1]
    # Each is filled in where it is needed: to copy them there would wait for what the device is doing.
    return torch.stack([torch.full((), t, device=device) for t in times]).clamp(path.start, path.stop)


def check_times(part: str, num_steps: int, times: Sequence[float] | None) -> None:
    """Raises ValueError where `part`, such as 'distiller.DMD', has other than `num_steps` times that rise from 0."""
    if times is None:
        return
    rising = all(earlier < later for earlier, later in pairwise(times))
    if len(times) != num_steps or times[0] != 0 or times[-1] >= 1 or not rising:
        raise ValueError(
            f"{part}.times = {list(times)} are not {part}.num_steps = {num_steps} times that rise from 0 (noise) and end "
            "before 1 (data). Leave them out to have them evenly spaced."
        )


def approach(
    field: Field, noise: Tensor, times: Float[Tensor, " steps"], fresh: Callable[[int], Tensor]
) -> Float[Tensor, " batch channels height width"]:
    """x at the last of `times`, in as many steps as there are times before it.

    Args:
        noise: standard normal; x at the first time is nothing else.
        fresh: more of it, for time number 1, 2, ...
    """
    path = field.path
    x = path.sigma(times[0]) * noise
    for number, (t, after) in enumerate(pairwise(times.unbind()), start=1):
        x = path.alpha(after) * field.data(x, t) + path.sigma(after) * fresh(number)
    return x


def noised_data(base: Regression, batch: Batch, times: Float[Tensor, " steps"]) -> tuple[Tensor, Float[Tensor, " batch"]]:
    """x_t of a batch's samples and t, one of `times` for each; at the first of them x_t is nothing but noise."""
    chosen = batch.draws.integers("step", len(times))
    kept = (chosen > 0).view(-1, *[1] * (batch.x_1.ndim - 1))
    t = times[chosen]
    return base.corrupt(batch.x_1 * kept, batch.noise(), t), t


def _like(noise: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(noise.shape, generator=generator, device=generator.device).to(noise)
