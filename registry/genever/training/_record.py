"""What a run writes down as it goes: scalars, grids of samples, metrics, and which checkpoint was the best."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genever.runs import RunDirectory
from genever.slots import Better, Writer
from genever.training._monitor import Monitor
from genever.training._stage import Stage
from genever.training._world import World

__all__ = ["Record", "due"]

logger = logging.getLogger("genever")


@dataclass
class Record:
    """All processes measure, rank 0 writes.

    Args:
        best: {"value", "step"} of the metric that `train.keep_best` names, once there is one.
        protocols: how each number came about, once it did.
        better: which end of it is the better one; None = neither is.
    """

    run: RunDirectory
    stage: Stage
    world: World
    writers: Sequence[Writer]
    best: dict[str, Any]
    protocols: dict[str, str] = field(default_factory=dict)
    better: dict[str, Better | None] = field(default_factory=dict)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if self.world.leads:
            self.run.append_metrics(step, values)
            for writer in self.writers:
                writer.scalars(values, step)

    def look(self, monitor: Monitor, step: int, *, last: bool) -> bool:
        """Validation loss, samples and metrics, where they are due. Returns whether `keep_best` improved."""
        found: dict[str, float] = {}
        if last or due(self.stage.validate_every, step):
            found |= monitor.validation()
        if last or due(self.stage.sample_every, step):
            for name, file in monitor.grid(step):
                for writer in self.writers:
                    writer.image(name, file, step)
        if last or due(self.stage.evaluate_every, step):
            found |= monitor.metrics(step)
        if not found:
            return False
        self.protocols.update(monitor.protocols)
        self.better.update(monitor.better)
        self.scalars(step, found)
        for name, value in found.items():
            if "_t0." not in name:
                logger.info("step %d  %s %.4f", step, name, value)
        return self.world.told(self._is_best(found, step))

    def _is_best(self, found: Mapping[str, float], step: int) -> bool:
        wanted = self.stage.keep_best
        if wanted is None:
            return False
        known = [key for key in found if wanted in (key, key.partition("/")[2]) and self.better.get(key)]
        if not known and any("validation_loss" not in key for key in found):
            logger.warning("train.keep_best = %r is none of what can get better here: %s", wanted, ", ".join(found))
        if not known or not math.isfinite(value := found[known[0]]):
            return False
        sign = 1.0 if self.better[known[0]] == "lower" else -1.0
        if self.best and sign * value >= sign * self.best["value"]:
            return False
        self.best = {"value": value, "step": step}
        return True


def due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
