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
from genever.training._protocol import better_ends
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
    """

    run: RunDirectory
    stage: Stage
    world: World
    writers: Sequence[Writer]
    best: dict[str, Any]
    protocols: dict[str, str] = field(default_factory=dict)

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
        self.scalars(step, found)
        for name, value in found.items():
            if "_t0." not in name:
                logger.info("step %d  %s %.4f", step, name, value)
        return self.world.told(self._is_best(found, step))

    def _is_best(self, found: Mapping[str, float], step: int) -> bool:
        wanted = self.stage.keep_best
        if wanted is None:
            return False
        meant = {key: end for key in found if wanted in (key, key.partition("/")[2]) and (end := self._better(key))}
        if not meant and any("validation_loss" not in key for key in found):
            logger.warning("train.keep_best = %r was not measured, or has no better end: %s", wanted, ", ".join(found))
        # Named without its weights, it is of those that the stage is judged by.
        judged = (one for one in meant.items() if one[0].startswith(f"{self.stage.evaluate_weights}/"))
        key, end = next(judged, next(iter(meant.items()), ("", None)))
        if end is None or not math.isfinite(value := found[key]):
            return False
        sign = 1.0 if end == "lower" else -1.0
        if self.best and sign * value >= sign * self.best["value"]:
            return False
        self.best = {"value": value, "step": step}
        return True

    def _better(self, name: str) -> Better | None:
        """Which end of a number is the better one; a bin of the validation loss is as the whole is."""
        return better_ends(self.stage.metrics).get(name.partition("/")[2].partition("_t0.")[0])


def due(every: int | None, step: int) -> bool:
    return every is not None and step % every == 0
