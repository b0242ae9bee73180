"""A progress bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from genever.training import Stage

__all__ = ["Progress"]

logger = logging.getLogger("genever")
_NOT_LOSSES = ("grad_norm", "lr", "images_per_s")


class Progress:
    """Told of every step; shows the loss, images per second and the time that is left.

    Args:
        first: the step from which this process goes on.
    """

    def __init__(self, stage: Stage, *, num_rounds: int, first: int) -> None:
        self.total = stage.steps * num_rounds
        self.first = first
        self.started = time.perf_counter()
        self.bar = tqdm(total=self.total, initial=first, unit="step", dynamic_ncols=True) if sys.stderr.isatty() else None

    def __call__(self, step: int, scalars: Mapping[str, float] | None) -> None:
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
            if scalars is not None:
                self.bar.set_postfix_str(_summary(scalars))
            if step == self.total:
                self.bar.close()
        if scalars is not None:
            left = (time.perf_counter() - self.started) / max(1, step - self.first) * (self.total - step)
            told = (step, self.total, _summary(scalars), *divmod(int(left), 60))
            logger.info("step %d/%d  %s  %d:%02d left", *told, extra={"shown_by_bar": self.bar is not None})


def _summary(scalars: Mapping[str, float]) -> str:
    losses = {name: value for name, value in scalars.items() if name.rpartition("/")[2] not in _NOT_LOSSES}
    shown = [f"{name.removeprefix('model/')} {value:.4f}" for name, value in losses.items()]
    return "  ".join([*shown[:4], f"{scalars['images_per_s']:,.0f} images/s"])
