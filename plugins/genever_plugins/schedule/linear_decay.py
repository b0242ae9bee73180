"""A learning rate that falls in a straight line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le

from genever_plugins.schedule._warmed import decay_progress, warmed

__all__ = ["LinearDecay"]


@dataclass(frozen=True, kw_only=True)
class LinearDecay:
    """A linear rise, a plateau, then a straight line down to `final`.

    Args:
        warmup_steps: until the full rate. 0 = disable.
        decay_from: share of the steps after warm-up at which the fall begins. 0 = at once.
        final: the factor at the end of training.

    References:
        Hägele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations, 2024 (warm-up, plateau and
            cooldown). arXiv:2405.18392
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    warmup_steps: Annotated[int, Ge(0)] = 0
    decay_from: Annotated[float, Ge(0), Le(1)] = 0.0
    final: Annotated[float, Ge(0), Le(1)] = 0.0

    def __call__(self, step: int, num_steps: int) -> float:
        progress = decay_progress(step, num_steps, self.warmup_steps)
        if progress <= self.decay_from:
            return warmed(step, self.warmup_steps)
        fall = (progress - self.decay_from) / (1 - self.decay_from)
        return 1 - (1 - self.final) * fall
