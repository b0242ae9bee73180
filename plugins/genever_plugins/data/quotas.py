"""Sharing a row of places out among sources, exactly and at once for any place."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Quotas", "shares"]


def shares(weights: Sequence[float]) -> tuple[Fraction, ...]:
    """Weights over their sum; a weight counts as it is written in decimals."""
    exact = [Fraction(str(weight)) for weight in weights]
    return tuple(weight / sum(exact) for weight in exact)


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """Webster's method, place by place, for shares that may change from step to step.

    D_s(i), the sum of source s's shares over the first i places, says how many of them it should have had. Its n-th sample
    is due at the first place where D_s reaches n - 1/2, and samples take places in the order in which they are due. So no
    place is left empty, whoever looks finds each source's number to be its sum rounded (of two sources exactly, of more
    to within one place for each), and nothing has to be remembered: unlike with largest remainders, a source never has to
    give back what it had.

    Args:
        start: each source's share until `first_step`.
        end: its share from `last_step` on; between the two it changes in a line.
        batch_size: places of a step.
    """

    start: Sequence[Fraction]
    end: Sequence[Fraction]
    first_step: int
    last_step: int
    batch_size: int

    def taken(self, num: int) -> list[int]:
        """How many of the first `num` places each source takes."""
        near = range(max(num - len(self.start), 0), num + len(self.start) + 1)
        place = near[bisect_left(near, num, key=lambda place: sum(self._due(place)))]
        due = self._due(place)
        before = self._due(max(place - 1, 0))
        for source in reversed(range(len(due))):  # Of those that are due at one place, the last ones wait.
            due[source] -= min(due[source] - before[source], sum(due) - num)
        return due

    def _due(self, place: int) -> list[int]:
        """How many samples of each source are due within the first `place` places."""
        return [(wanted + Fraction(1, 2)).__floor__() for wanted in self.wanted(place)]

    def wanted(self, place: int) -> list[Fraction]:
        """D_s(place): what each source should have had by then."""
        step, rest = divmod(place, self.batch_size)
        turned = self.batch_size * self._turned_before(step) + rest * self._turned(step)
        return [place * start + turned * (end - start) for start, end in zip(self.start, self.end, strict=True)]

    def _turned(self, step: int) -> Fraction:
        """How far a step's shares are from start to end: 0 = start, 1 = end."""
        if step < self.first_step or step >= self.last_step:
            return Fraction(step >= self.last_step)
        return Fraction(step - self.first_step, self.last_step - self.first_step)

    def _turned_before(self, step: int) -> Fraction:
        """The sum of `_turned` over all steps before."""
        length = self.last_step - self.first_step
        turning = min(max(step - self.first_step, 0), length)
        between = Fraction(turning * (turning - 1), 2 * length) if length else Fraction(0)
        return between + max(step - self.last_step, 0)
