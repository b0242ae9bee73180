import pytest
from genever.slots import Schedule
from genever_plugins.schedule.constant import Constant
from genever_plugins.schedule.cosine import Cosine
from genever_plugins.schedule.linear_decay import LinearDecay
from genever_plugins.schedule.warmup import Warmup


def values(schedule: Schedule, steps: list[int], num_steps: int = 100) -> list[float]:
    return [schedule(step, num_steps) for step in steps]


def test_constant_is_one() -> None:
    assert values(Constant(), [0, 50, 99]) == [1.0, 1.0, 1.0]


def test_warmup_rises_from_the_first_step_and_stays() -> None:
    assert values(Warmup(steps=4), [0, 1, 3, 4, 99]) == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_warmup_of_no_steps_is_constant() -> None:
    assert values(Warmup(steps=0), [0, 1]) == [1.0, 1.0]


def test_cosine_falls_from_one_to_its_final_value() -> None:
    assert values(Cosine(final=0.2), [0, 50, 100]) == pytest.approx([1.0, 0.6, 0.2])


def test_cosine_falls_after_its_warmup() -> None:
    assert values(Cosine(warmup_steps=20), [0, 9, 19, 20, 60, 100]) == pytest.approx([0.05, 0.5, 1.0, 1.0, 0.5, 0.0])


def test_linear_decay_rises_stays_and_falls() -> None:
    schedule = LinearDecay(warmup_steps=20, decay_from=0.5, final=0.1)
    assert values(schedule, [0, 19, 60, 80, 100]) == pytest.approx([0.05, 1.0, 1.0, 0.55, 0.1])


def test_linear_decay_falls_at_once_by_default() -> None:
    assert values(LinearDecay(), [0, 25, 100]) == pytest.approx([1.0, 0.75, 0.0])


@pytest.mark.parametrize("schedule", [Cosine(warmup_steps=200), LinearDecay(warmup_steps=200)])
def test_warmup_longer_than_training_never_ends(schedule: Schedule) -> None:
    assert values(schedule, [0, 99]) == pytest.approx([0.005, 0.5])


@pytest.mark.parametrize("schedule", [Cosine(), LinearDecay(decay_from=1.0), LinearDecay(decay_from=0.3)])
def test_last_step_still_learns(schedule: Schedule) -> None:
    assert 0 < schedule(99, 100) <= 1
