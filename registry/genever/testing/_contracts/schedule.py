"""Factors on a learning rate."""

from __future__ import annotations

import math

from genever.testing._case import Case


def factor_is_a_finite_number(case: Case) -> None:
    for step, num_steps in _moments():
        factor = case.part()(step, num_steps)
        assert isinstance(factor, float | int)
        assert math.isfinite(factor)
        assert factor >= 0, f"The factor of step {step} of {num_steps} is negative."


def factor_depends_on_the_step_alone(case: Case) -> None:
    part = case.part()
    forwards = [part(step, num_steps) for step, num_steps in _moments()]
    backwards = [part(step, num_steps) for step, num_steps in reversed(_moments())]
    assert forwards == backwards[::-1]


def some_step_learns(case: Case) -> None:
    assert max(case.part()(step, 1000) for step in range(1000)) > 0


def _moments() -> list[tuple[int, int]]:
    return [(step, num_steps) for num_steps in (1, 2, 10, 1000) for step in {0, 1, num_steps // 2, num_steps - 1}]
