"""Distillers."""

from __future__ import annotations

import torch

from genever.testing._case import Case
from genever.testing._contracts import _method
from genever.testing._toy_stage import take_steps
from genever.training import Composition, Evaluation, Method


def rounds_have_names_of_their_own(case: Case) -> None:
    names = [one.name for one in case.composition(distiller=case.part()).rounds()]
    assert names
    assert len(names) == len(set(names))


def groups_are_parameters_of_roles(case: Case) -> None:
    _method.check_groups(lambda: _first_round(case))


def networks_are_built_without_memory(case: Case) -> None:
    _method.check_meta(lambda **stage: case.composition(distiller=case.part(), **stage))


def two_steps_are_taken(case: Case) -> None:
    _method.check_steps(lambda: _first_round(case))


def steps_are_the_same_bits_again(case: Case) -> None:
    _method.check_repeats(lambda: _first_round(case))


def global_luck_is_left_alone(case: Case) -> None:
    _method.check_luck(lambda: _first_round(case))


def state_survives_a_round_trip(case: Case) -> None:
    _method.check_state(lambda: _first_round(case))


def resumed_run_ends_with_the_same_bits(case: Case) -> None:
    _method.check_resume(lambda **stage: case.composition(distiller=case.part(), **stage), case.folder)


def every_round_goes_on_from_the_one_before(case: Case) -> None:
    composition = case.composition(distiller=case.part())
    roles = {}
    for one in composition.rounds():
        method = _method.begun(one, roles)
        take_steps(method, composition)
        roles = method.roles


def teacher_stays_as_it_was(case: Case) -> None:
    composition = case.composition(distiller=case.part())
    before = {name: one.clone() for name, one in composition.teacher.state_dict().items()}
    take_steps(_method.begun(composition.rounds()[0], {}), composition)
    assert all(torch.equal(one, before[name]) for name, one in composition.teacher.state_dict().items())


def student_can_be_sampled(case: Case) -> None:
    composition = case.composition(distiller=case.part())
    last = composition.rounds()[-1]
    made = Evaluation(
        composition=composition,
        model=composition.model,
        solver=last.solver or composition.solver,
        guidance=last.guidance if last.solver else composition.guidance,
        num_samples=3,
    ).generated()
    assert bool(made.images.isfinite().all())


def _first_round(case: Case) -> tuple[Method, Composition]:
    composition = case.composition(distiller=case.part())
    return _method.begun(composition.rounds()[0], {}), composition
