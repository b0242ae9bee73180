"""Metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping

from genever.slots import ExplainedMetric
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.training import Evaluation, declared


def numbers_have_names(case: Case) -> None:
    found = _measure(case)
    assert found
    assert all(isinstance(name, str) and name for name in found)
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())


def numbers_are_those_that_it_declares(case: Case) -> None:
    names, part = case.surface.measures, case.part()
    assert names is not None, (
        "Declare them, and which end is better: measures: ClassVar[Measures] = {'fd': 'lower'}; '{name}' is a parameter's "
        "value, and None says that neither end is."
    )
    assert set(_measure(case)) <= set(declared(part))


def measuring_again_gives_the_same_numbers(case: Case) -> None:
    assert _measure(case) == _measure(case)


def global_luck_is_left_alone(case: Case) -> None:
    with global_luck_untouched():
        _measure(case)


def model_is_left_as_it_was(case: Case) -> None:
    evaluation = _evaluation(case)
    model = evaluation.model.train()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    case.part().measure(evaluation)
    assert model.training
    assert all(bool((model.state_dict()[name] == one).all()) for name, one in before.items())


def protocol_is_one_line(case: Case) -> None:
    part = case.part()
    if isinstance(part, ExplainedMetric):
        said = part.protocol(_evaluation(case))
        assert said
        assert "\n" not in said, "It stands beside numbers: say it on one line."


def _evaluation(case: Case) -> Evaluation:
    composition = case.composition()
    return Evaluation(
        composition=composition,
        model=composition.model,
        solver=composition.solver,
        guidance=composition.guidance,
        num_samples=24,
    )


def _measure(case: Case) -> Mapping[str, float]:
    return case.part().measure(_evaluation(case))
