"""A learning rate that rises, then stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from genever_plugins.schedule._warmed import warmed

__all__ = ["Warmup"]


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """min(1, (step + 1) / steps): a linear rise, then constant.

    Args:
        steps: until the full rate.

    References:
        Goyal et al., Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour, 2017, section 2.2. arXiv:1706.02677
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    steps: Annotated[int, Ge(0)] = 1000

    def __call__(self, step: int, num_steps: int) -> float:
        return warmed(step, self.steps)
