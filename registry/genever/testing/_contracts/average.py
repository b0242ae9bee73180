"""Decays of moving averages."""

from __future__ import annotations

import math

from genever.slots import Average
from genever.testing._case import Case

_STEPS = (0, 1, 2, 10, 1_000, 1_000_000)


def decay_lies_between_zero_and_one(case: Case) -> None:
    for step in _STEPS:
        decay = case.part().decay_at(step)
        assert isinstance(decay, float | int)
        assert 0 <= decay <= 1, f"The decay after step {step} is {decay}."


def decay_depends_on_the_step_alone(case: Case) -> None:
    part = case.part()
    assert [part.decay_at(step) for step in _STEPS] == [part.decay_at(step) for step in reversed(_STEPS)][::-1]


def average_learns(case: Case) -> None:
    assert any(case.part().decay_at(step) < 1 for step in _STEPS)


def profile_is_as_wide_as_its_length(case: Case) -> None:
    if "profile" in case.surface.provides:
        part, num_steps = case.part(), 1000
        weights = _profile(part, num_steps)
        mean = sum(weight * (step + 0.5) for step, weight in enumerate(weights))
        variance = sum(weight * (step + 0.5 - mean) ** 2 for step, weight in enumerate(weights))
        assert abs(math.sqrt(variance) / num_steps - part.length) < 1e-3, "The profile of its decays has another length."
        assert part.of_length(part.length) == part


def overlaps_are_those_of_the_decay(case: Case) -> None:
    if "profile" in case.surface.provides:
        part = case.part()
        for first, second in ((1000, 1000), (1000, 600), (600, 1000)):
            expected = sum(one * other for one, other in zip(_profile(part, first), _profile(part, second), strict=False))
            found = part.overlap(first, part, second)
            assert abs(found / expected - 1) < 0.01, f"The overlap of {first} and {second} steps is {found}, not {expected}."


def _profile(part: Average, num_steps: int) -> list[float]:
    """How much the weights of each step count after so many, as the decays have it."""
    left, weights = 1.0, list[float]()
    for step in reversed(range(num_steps)):
        weights.append(left * (1 - part.decay_at(step)))
        left *= part.decay_at(step)
    return weights[::-1]
