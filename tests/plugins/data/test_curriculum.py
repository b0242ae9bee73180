"""One data after another over a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.slots import PlannedDataset
from genever.testing import ToyData, ToyEncoder, ToySampler, toy_composition
from genever.training import Regression
from genever.values import BatchShape
from genever_plugins.aligner.irepa import IREPA
from genever_plugins.aligner.repa import REPA
from genever_plugins.data.curriculum import Curriculum, first_step
from genever_plugins.data.digits import Digits
from genever_plugins.data.mixture import Mixture
from genever_plugins.sampler.shifted import Shifted

SMALL, LARGE = ToyData(side=2, num_samples=20), ToyData(side=4, num_samples=12)


def curriculum(**settings: Any) -> Curriculum:
    return Curriculum(**{"stages": [SMALL, LARGE], "starts": [0, 0.5], "batch_multiple": 2, **settings})


def lessons(**settings: Any) -> PlannedDataset:
    dataset = curriculum(**settings).build("train")
    assert isinstance(dataset, PlannedDataset)
    return dataset


def plan(dataset: PlannedDataset, step: int, **given: int) -> list[int]:
    return list(dataset.plan(step, **{"num_steps": 10, "batch_size": 6, "seed": 0, "stream": 0, **given}))


def images(dataset: PlannedDataset, step: int) -> torch.Tensor:
    return dataset.fetch(plan(dataset, step)).images


def test_curriculum_reads_small_images_first() -> None:
    assert [tuple(images(lessons(), step).shape) for step in (0, 4, 5, 9, 30)] == [
        (24, 2, 2, 2),
        (24, 2, 2, 2),
        (6, 2, 4, 4),
        (6, 2, 4, 4),
        (6, 2, 4, 4),
    ]


def test_curriculum_says_which_batches_there_will_be() -> None:
    large = BatchShape(num_samples=6, height=4, width=4)
    assert lessons().batches(6) == [BatchShape(num_samples=24, height=2, width=2), large]
    assert lessons(constant_tokens=False).batches(6) == [BatchShape(num_samples=6, height=2, width=2), large]


@pytest.mark.parametrize(("multiple", "num"), [(1, 17), (4, 16), (8, 16)])
def test_curriculum_rounds_batches_down_to_what_can_be_split(multiple: int, num: int) -> None:
    shapes = lessons(stages=[ToyData(side=7), ToyData(side=12)], batch_multiple=multiple).batches(6)
    assert [shape.num_samples for shape in shapes] == [num, 6]


@pytest.mark.parametrize(("number", "num", "steps", "size"), [(0, 20, range(5), 24), (1, 12, range(5, 9), 6)])
def test_curriculum_reads_each_stage_in_epochs_without_repetition(number: int, num: int, steps: range, size: int) -> None:
    dataset = lessons()
    row = [index for step in steps for index in plan(dataset, step)]
    assert len(row) == size * len(steps)
    for epoch in range(len(row) // num):
        assert len(set(row[epoch * num : (epoch + 1) * num])) == num


def test_curriculum_without_a_plan_is_its_last_stage() -> None:
    dataset, validation = lessons(), curriculum().build("validation")
    assert (len(dataset), dataset.spec.height) == (12, 4)
    assert torch.equal(dataset.fetch(range(12)).images, LARGE.build("train").fetch(range(12)).images)
    assert torch.equal(validation.fetch([3]).images, LARGE.build("validation").fetch([3]).images)


def test_stage_that_plans_is_planned_from_its_own_beginning() -> None:
    inner = Mixture(parts={"a": LARGE, "b": ToyData(side=4)}, weights={"a": 1, "b": 0}, end_weights={"a": 0, "b": 1})
    dataset = lessons(stages=[SMALL, inner])
    parts = [dataset.fetch(plan(dataset, step, batch_size=10)).extras["part"].count("b") for step in (5, 7, 9, 12)]
    assert parts == [0, 4, 8, 10]


def test_later_stages_are_read_in_another_order() -> None:
    dataset = lessons(stages=[LARGE, LARGE], constant_tokens=False)
    assert [index % 2**40 for index in plan(dataset, 0)] != plan(dataset, 5)


@pytest.mark.parametrize(
    ("share", "num_steps", "step"), [(0.29, 100, 29), (0.7, 10, 7), (0.9, 2, 1), (0.5, 3, 1), (0, 7, 0)]
)
def test_stage_begins_at_the_step_of_its_share(share: float, num_steps: int, step: int) -> None:
    assert first_step(share, num_steps) == step


def test_shift_of_times_follows_the_size_of_the_step() -> None:
    """Esser et al.: alpha = sqrt(m / n), here sqrt(16 / 4) = 2 for the large images and 1 for the small ones."""
    shifted = Shifted(sampler=ToySampler(), base_positions=4)
    plain, moved = (toy_composition(data=curriculum(), sampler=one, steps=10) for one in (ToySampler(), shifted))
    for step, alpha in ((0, 1.0), (6, 2.0)):
        t, shifted_t = (_times(composition, step) for composition in (plain, moved))
        torch.testing.assert_close(shifted_t, t / (alpha - (alpha - 1) * t))


def _times(composition: Any, step: int) -> torch.Tensor:
    method = composition.rounds()[0].start({})
    assert isinstance(method, Regression)
    return method.times(next(composition.feed().at(step)))


def test_run_whose_images_grow_goes_on_with_the_same_bits(toy: Any, tmp_path: Path) -> None:
    def trained(name: str, stop: int | None = None, **settings: Any) -> Mapping[str, torch.Tensor]:
        return toy.trained(tmp_path / name, stop=stop, data=curriculum(**settings), steps=6, batch_size=8)

    whole, plain = trained("whole"), trained("plain", starts=[0, 0.8])
    for stop in (2, 3, 4):
        resumed = trained(str(stop), stop)
        assert all(whole[name].equal(resumed[name]) for name in whole)
    assert any(not whole[name].equal(plain[name]) for name in whole)


@pytest.mark.parametrize("starts", [[0], [0, 0.5, 0.7], [0.1, 0.5], [0, 0], [0, 1.0], [0.5, 0]])
def test_curriculum_without_a_beginning_for_each_stage_is_refused(starts: list[float]) -> None:
    with pytest.raises(
        ValueError, match=r"Curriculum\.starts = .* do not say when the 2 of Curriculum\.stages begin\. Give"
    ):
        curriculum(starts=starts)


def test_stages_of_another_kind_are_refused_by_number() -> None:
    message = r"Curriculum\.stages\[0\] holds 1x8x8 images of 10 classes, but the last holds 2x4x4 images of 3 classes with"
    with pytest.raises(ValueError, match=message):
        curriculum(stages=[Digits(), LARGE]).build("train")


@pytest.mark.parametrize("aligner", [REPA(encoder=ToyEncoder(), tap=1), IREPA(encoder=ToyEncoder(), tap=1)])
def test_alignment_on_one_grid_is_refused(aligner: Any) -> None:
    message = rf"train\.aligner = {type(aligner).__name__} compares .* one grid, but train\.data = Curriculum has images"
    with pytest.raises(ValueError, match=message):
        toy_composition(data=curriculum(), aligner=aligner, batch_size=6).rounds()
