"""What discrete consistency methods have in common: two neighbours on a trajectory are to end at the same point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from genever.slots import Average, Distance
from genever.training import Batch, Composition, Feed, Field, Update, frozen_copy
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.consistency import end
from genever_plugins.distiller.neighbours import Neighbour
from genever_plugins.distiller.student import Student

__all__ = ["ConsistencyMatching", "with_target"]

#: Shorter intervals count as if they were of this length, in t: an interval of no length has no error.
_SHORTEST = 1e-4


@dataclass(frozen=True, kw_only=True)
class ConsistencyMatching(Student):
    """`genever.training.Method`: draw f(x_t, t) to f(x_s, s), for a neighbour x_s of x_t that is nearer to data.

    The loss is the mean of distance(f(x_t, t), f(x_s, s)) / (s - t), where no gradient flows into f(x_s, s), which is the
    student itself or, where there is one, the role "target", a moving average of it.

    Args:
        intervals: (t, s) of each sample from times that the stage's sampler drew, at a step.
        distance: between two ends. None = the mean square.
        average: of the role "target".
        cond: what the student is asked for.
    """

    intervals: Callable[[Float[Tensor, " batch"], int], tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]]
    neighbour: Neighbour
    distance: Distance | None = None
    average: Average | None = None
    cond: Callable[[Batch], Tensor] = lambda batch: batch.cond

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(lambda batch: self.losses(batch, step))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        t, s = self.intervals(self.base.times(batch), step)
        x_t = self.base.corrupt(batch.x_1, batch.noise(), t)
        with torch.no_grad(), _luck_of_what_follows(x_t.device):
            target = end(self.field("target" if self.average else "model", batch), self.neighbour(batch, x_t, t, s), s)
        found = end(self.field("model", batch), x_t, t)
        return {"consistency": (self.distances(found, target) / (s - t).clamp_min(_SHORTEST)).mean()}

    def distances(self, found: Tensor, target: Tensor) -> Float[Tensor, " batch"]:
        if self.distance is None:
            return (found - target).square().flatten(1).mean(1)
        return self.distance(found, target)

    def field(self, role: str, batch: Batch) -> Field:
        return Field(self.roles[role], self.base.loss, self.cond(batch))

    def after(self, group: str, step: int) -> None:
        if self.average is not None:
            self.draw_target(self.average.decay_at(step))


def with_target(roles: Mapping[str, nn.Module], composition: Composition, average: Average | None) -> dict[str, nn.Module]:
    """A method's networks, and the average of the student where it is to be drawn to one."""
    return {**roles} if average is None else {**roles, "target": frozen_copy(composition.model)}


@contextmanager
def _luck_of_what_follows(device: torch.device) -> Iterator[None]:
    """What is drawn in here by networks themselves is drawn again afterwards: both ends have the same dropout."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield
