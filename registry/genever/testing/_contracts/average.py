"""Decays of moving averages."""

from __future__ import annotations

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
