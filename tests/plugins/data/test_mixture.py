"""Several data in one batch, each with its share."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.command import main
from genever.slots import PlannedDataset
from genever.testing import ToyData, toy_composition
from genever.training import World
from genever_plugins.data.candidates import Candidates
from genever_plugins.data.captioned import Captioned
from genever_plugins.data.digits import Digits
from genever_plugins.data.few import Few
from genever_plugins.data.mixture import Mixed, Mixture
from genever_plugins.data.shapes import Shapes
from genever_plugins.data.subject import Subject

SMALL = Shapes(height=16, width=16, num_images=30, num_validation=4)


def mixture(**settings: Any) -> Mixture:
    given = {
        "parts": {"new": ToyData(num_samples=10), "old": ToyData(num_samples=48)},
        "weights": {"new": 0.7, "old": 0.3},
    }
    return Mixture(**{**given, **settings})


def mixed(**settings: Any) -> Mixed:
    dataset = mixture(**settings).build("train")
    assert isinstance(dataset, Mixed)
    return dataset


def plans(dataset: PlannedDataset, steps: Sequence[int], batch_size: int = 8, num_steps: int = 20) -> list[list[int]]:
    return [list(dataset.plan(step, num_steps=num_steps, batch_size=batch_size, seed=0, stream=0)) for step in steps]


def test_mixture_takes_each_share_in_every_step() -> None:
    owners = [[index >= 10 for index in plan].count(True) for plan in plans(mixed(), range(20), batch_size=10)]
    assert owners == [3] * 20


def test_mixture_reads_each_part_in_epochs_without_repetition() -> None:
    row = list[int]()
    for plan in plans(mixed(), range(40)):
        row += plan
        for first, num in ((0, 10), (10, 48)):
            times = [row.count(first + index) for index in range(num)]
            assert set(times) <= {sum(times) // num, sum(times) // num + 1}
    assert min(row.count(index) for index in range(58)) >= 1


def test_mixture_gives_the_samples_of_its_parts() -> None:
    dataset = mixed()
    new, old = (part.build("train") for part in dataset.part.parts.values())
    found = dataset.fetch([12, 3, 10, 57])
    assert found.extras["part"] == ("old", "new", "old", "old")
    assert torch.equal(found.images, torch.cat([old.fetch([2]).images, new.fetch([3]).images, old.fetch([0, 47]).images]))
    assert found.captions == (*old.fetch([2]).captions, *new.fetch([3]).captions, *old.fetch([0, 47]).captions)
    assert found.labels.tolist() == [2, 0, 0, 2]


def test_mixture_without_a_plan_is_its_first_part() -> None:
    dataset, validation = mixed(), mixture().build("validation")
    first = ToyData(num_samples=10)
    assert len(dataset) == 10
    assert torch.equal(dataset.fetch(range(10)).images, first.build("train").fetch(range(10)).images)
    assert torch.equal(validation.fetch(range(10)).images, first.build("validation").fetch(range(10)).images)


def test_mixture_comes_to_its_last_weights_at_the_end_of_training() -> None:
    dataset = mixed(weights={"new": 1, "old": 0}, end_weights={"new": 0, "old": 1})
    shares = [sum(index >= 10 for index in plan) for plan in plans(dataset, [0, 5, 10, 15, 19, 20, 30], batch_size=100)]
    assert shares == [0, 25, 50, 75, 95, 100, 100]


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_mixture_is_one_batch_however_many_processes_read_it(size: int, accumulate: int) -> None:
    data = mixture(end_weights={"new": 0.1, "old": 0.9})
    feed = toy_composition(data=data, batch_size=8, accumulate=accumulate, steps=9).feed()
    for step in (0, 3, 7):
        parts = [replace(feed, world=World(rank=rank, size=size)).at(step) for rank in range(size)]
        seen = torch.cat([next(part).images for _ in range(accumulate) for part in parts])
        (plan,) = plans(mixed(end_weights={"new": 0.1, "old": 0.9}), [step], num_steps=9)
        assert torch.equal(seen, mixed().fetch(plan).images)


def test_mixture_shows_every_process_something_of_each_part() -> None:
    halves = [
        half for plan in plans(mixed(weights={"new": 0.5, "old": 0.5}), range(10), 32) for half in (plan[:16], plan[16:])
    ]
    assert all(4 <= sum(index >= 10 for index in half) <= 12 for half in halves)


def test_mixture_verifies_by_the_part_that_a_sample_is_from() -> None:
    dataset = mixed(parts={"new": SMALL, "old": replace(SMALL, seed=1)})
    samples = dataset.fetch([0, 40, 1])
    assert torch.equal(dataset.verify(samples.images, samples), SMALL.build("train").verify(samples.images, samples))
    untold = replace(samples, extras={})
    assert torch.equal(dataset.verify(untold.images, untold), dataset.verify(samples.images, samples))


def test_run_of_changing_weights_goes_on_with_the_same_bits(toy: Any, tmp_path: Path) -> None:
    data = mixture(end_weights={"new": 0, "old": 1})
    whole, resumed, plain = (
        toy.trained(tmp_path / name, stop=stop, data=given, steps=7, batch_size=8)
        for name, stop, given in (("whole", None, data), ("resumed", 3, data), ("plain", None, mixture()))
    )
    assert all(whole[name].equal(resumed[name]) for name in whole)
    assert any(not whole[name].equal(plain[name]) for name in whole)


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"new": 1}}, r"Mixture\.weights names \['new'\], but Mixture\.parts are \['new', 'old'\]\. Give each"),
        ({"weights": {"new": 1, "odl": 1}}, r"weights names \['new', 'odl'\]"),
        ({"end_weights": {}}, r"Mixture\.end_weights names \[\]"),
        ({"weights": {"new": 0, "old": 0}}, r"Mixture\.weights = {'new': 0, 'old': 0} are not shares of anything\. Use"),
        ({"weights": {"new": 2, "old": -1}}, r"Mixture\.weights = .* none is negative"),
        ({"end_weights": {"new": float("nan"), "old": 1}}, r"Mixture\.end_weights = .* are not shares"),
        ({"start_step": 5, "end_step": 4}, r"Mixture\.end_step = 4 comes before Mixture\.start_step = 5\. Exchange"),
    ],
)
def test_mixture_of_what_cannot_be_mixed_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(**settings)


@pytest.mark.parametrize(
    ("other", "described"),
    [
        (Digits(), "1x8x8 images of 10 classes"),
        (ToyData(side=6), "2x6x6 images of 3 classes with captions"),
    ],
)
def test_parts_of_another_kind_are_refused_by_name(other: Any, described: str) -> None:
    message = rf"Mixture\.parts\['old'\] holds {described}, but Mixture\.parts\['new'\] holds 2x4x4 images of 3 classes with"
    with pytest.raises(ValueError, match=message):
        mixture(parts={"new": ToyData(), "old": other}).build("train")


def test_what_only_some_parts_have_is_left_out() -> None:
    things = Subject(height=16, width=16)
    dataset = Mixture(parts={"scenes": SMALL, "things": things}, weights={"scenes": 1, "things": 1}).build("train")
    assert (dataset.spec.num_classes, dataset.spec.captions) == (None, True)
    scenes, all_parts = dataset.fetch([0, 1]), dataset.fetch([0, 30])
    assert (scenes.labels, all_parts.labels) == (None, None)
    each = [data.build("train").fetch([0]).captions for data in (SMALL, things)]
    assert [all_parts.captions] == [one + other for one, other in [each] if one and other]


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("Mixture.parts['old']", lambda data: mixture(parts={"new": ToyData(), "old": data})),
        ("data.Candidates.data", lambda data: Candidates(data=data)),
        ("data.Captioned.data", lambda data: Captioned(data=data, captions=("a thing",))),
        ("data.Few.data", lambda data: Few(data=data)),
    ],
)
def test_data_that_plans_is_refused_by_what_would_lose_its_plan(name: str, around: Callable[[Any], Any]) -> None:
    message = rf"{re.escape(name)} plans its own batches \(Mixed\), which would be lost here\. Name the data that it reads"
    with pytest.raises(ValueError, match=message):
        around(mixture()).build("train")


def test_mixture_of_candidates_keeps_them() -> None:
    parts = {"new": Candidates(data=ToyData()), "old": Candidates(data=ToyData(num_samples=30))}
    found = mixed(parts=parts).fetch([50, 0])
    expected = [parts["old"].build("train").fetch([2]), parts["new"].build("train").fetch([0])]
    assert torch.equal(found.candidates, torch.cat([one.candidates for one in expected]))


def test_every_step_differs_from_the_one_before() -> None:
    assert all(one != other for one, other in pairwise(plans(mixed(), range(20))))


# In a gin file

FILE = """
train.data        = @Mixture()
train.conditioner = @Classes()
train.backbone    = @UNet()
train.loss        = @FlowMatching()
train.sampler     = @Uniform()
train.steps       = 2
Mixture.parts     = {'new': @new/Digits(), 'old': @Digits()}
new/Digits.style  = 'bold'
"""


def test_check_sees_a_weight_that_is_negative(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gin").write_text(FILE + "Mixture.weights = {'new': 1, 'old': -1}")
    assert main(["check", str(tmp_path / "x.gin")]) == 2
    assert "data.Mixture.weights['old'] wants a number >= 0, not -1." in capsys.readouterr().err


def test_building_refuses_weights_that_name_no_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gin").write_text(FILE + "Mixture.weights = {'new': 1, 'odl': 1}")
    assert main(["check", str(tmp_path / "x.gin"), "--build"]) == 2
    assert "Mixture.weights names ['new', 'odl'], but Mixture.parts are ['new', 'old']." in capsys.readouterr().err


def test_what_all_parts_provide_the_mixture_provides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = FILE + "Mixture.weights = {'new': 1, 'old': 1}\n"
    (tmp_path / "x.gin").write_text(text)
    assert main(["check", str(tmp_path / "x.gin")]) == 0
    (tmp_path / "x.gin").write_text(text.replace("Classes", "Text"))
    assert main(["check", str(tmp_path / "x.gin")]) == 2
    assert "needs a data that provides 'captions', but train.data is data.Mixture, which does not" in capsys.readouterr().err
