"""Aligners."""

from __future__ import annotations

from genever.testing._case import Case
from genever.testing._contracts import _method
from genever.training import Composition, Method


def groups_are_parameters_of_roles(case: Case) -> None:
    _method.check_groups(lambda: _aligned(case))


def networks_are_built_without_memory(case: Case) -> None:
    _method.check_meta(lambda **stage: case.composition(aligner=case.part(), **stage))


def two_steps_are_taken(case: Case) -> None:
    _method.check_steps(lambda: _aligned(case))


def steps_are_the_same_bits_again(case: Case) -> None:
    _method.check_repeats(lambda: _aligned(case))


def global_luck_is_left_alone(case: Case) -> None:
    _method.check_luck(lambda: _aligned(case))


def state_survives_a_round_trip(case: Case) -> None:
    _method.check_state(lambda: _aligned(case))


def resumed_run_ends_with_the_same_bits(case: Case) -> None:
    _method.check_resume(lambda **stage: case.composition(aligner=case.part(), **stage), case.folder)


def _aligned(case: Case) -> tuple[Method, Composition]:
    composition = case.composition(aligner=case.part())
    (only,) = composition.rounds()
    return only.start({}), composition
