"""A learning rate that falls as a cosine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from genever_plugins.schedule._warmed import decay_progress, warmed

__all__ = ["Cosine"]


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """A linear rise, then half a cosine down to `final`: final + (1 - final) (1 + cos(pi progress)) / 2.

    Args:
        warmup_steps: until the full rate. 0 = disable.
        final: the factor at the end of training.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017, eq. (5). arXiv:1608.03983
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    warmup_steps: Annotated[int, Ge(0)] = 0
    final: Annotated[float, Ge(0), Le(1)] = 0.0

    def __call__(self, step: int, num_steps: int) -> float:
        progress = decay_progress(step, num_steps, self.warmup_steps)
        fallen = self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2  # eq. (5)
        return warmed(step, self.warmup_steps) * fallen
