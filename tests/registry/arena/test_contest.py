"""Runs that draw the same from the same noise, and who judges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.errors import UserError
from genever.execution import Contest, Opened
from genever.runs import RunDirectory
from genever.slots import Better, Measures
from genever.testing import ToyData, toy_composition
from torch import Tensor, nn


class Shifting(nn.Module):
    """A model whose samples are the noise, shifted."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor, t: Tensor, cond: Any, taps: Any = ()) -> tuple[Tensor, tuple[()]]:
        return torch.full_like(x, self.shift), ()


@dataclass(frozen=True)
class Brighter:
    """A judge of pairs who prefers the brighter image; half of the time it prefers the left one, whatever it shows."""

    lazy: bool = False

    def build(self, composition: Any) -> Brighter:
        return self

    def prefers(self, first: Tensor, second: Tensor, samples: Any) -> Tensor:
        found = (first.mean((1, 2, 3)) > second.mean((1, 2, 3))).float()
        return torch.where(torch.arange(len(found)) % 2 == 0, 1.0, found) if self.lazy else found


@dataclass(frozen=True)
class Mean:
    """A metric that looks at samples, or at samples of its own."""

    looks: bool = True
    better: Better = "higher"

    @property
    def measures(self) -> Measures:
        return {"mean": self.better, "other": None}

    def measure(self, evaluation: Any) -> dict[str, float]:
        return {"mean": evaluation.generated().images.mean().item() if self.looks else 1.0, "other": 0.0}


class Two(ToyData):
    """As the toys, of which only two classes are known."""

    def build(self, split: Any) -> Any:
        dataset = super().build(split)
        dataset.spec = replace(dataset.spec, num_classes=2)
        return dataset


def opened(shift: float = 0.0, **parts: Any) -> Opened:
    composition = toy_composition(**parts)
    return Opened(
        run=RunDirectory(Path(f"runs/toy/{shift}")),
        composition=composition,
        model=Shifting(shift),  # pyright: ignore[reportArgumentType]
        solver=composition.solver,
        guidance=None,
        step=1,
        weights="raw",
    )


def contest(*runs: Opened, num: int = 12, **asked: Any) -> Contest:
    made = Contest.of(runs[0], range(num), **asked)
    for number, run in enumerate(runs):
        made.enter("abc"[number], run)
    return made


def test_runs_of_different_seeds_draw_the_same_labels_from_the_same_noise() -> None:
    found = contest(opened(), opened(0.5, seed=1), opened(0.0, seed=2)).made
    assert torch.equal(found["a"].images, found["c"].images)
    assert (found["b"].images - found["a"].images).mean() > 0.2
    assert found["a"].labels.tolist() == found["b"].labels.tolist() == [0, 1, 2] * 4  # pyright: ignore


def test_reward_compares_every_pair_on_every_sample() -> None:
    class Bright:
        def build(self, composition: Any) -> Any:
            return lambda images, samples: images.mean((1, 2, 3))

    found = contest(opened(judge=Bright()), opened(0.5), opened(0.5)).by_part()
    scores = {(one.first, one.second): one.score for one in found.bouts}
    assert (len(found.bouts), found.consistency, found.by) == (36, None, "Bright")
    assert scores == {("a", "b"): 0.0, ("a", "c"): 0.0, ("b", "c"): 0.5}


def test_judge_of_pairs_is_asked_from_both_sides_and_a_lazy_one_is_found_out() -> None:
    fair, lazy = (contest(opened(judge=Brighter(lazy=lazy)), opened(0.5)).by_part() for lazy in (False, True))
    assert (fair.consistency, {one.score for one in fair.bouts}) == (1.0, {0.0})
    assert lazy.consistency == 0.5
    assert [one.score for one in lazy.bouts] == [0.5, 0.0] * 6


def test_judgement_does_not_depend_on_which_run_is_named_first() -> None:
    ours = contest(opened(judge=Brighter(lazy=True)), opened(0.5)).by_part().bouts
    theirs = contest(opened(0.5, judge=Brighter(lazy=True)), opened()).by_part().bouts
    assert [one.score for one in ours] == [1 - one.score for one in theirs]


@pytest.mark.parametrize(
    ("better", "block", "score", "num"), [("higher", 1, 0.0, 12), ("lower", 1, 1.0, 12), ("higher", 5, 0.0, 2)]
)
def test_metric_compares_blocks_of_samples(better: Better, block: int, score: float, num: int) -> None:
    found = contest(opened(metrics=[Mean(better=better)]), opened(0.5)).by_metric("mean", block=block)
    assert [one.score for one in found.bouts] == [score] * num


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"data": ToyData(side=2)}, r"its images are of channels x height x width = \(2, 2, 2\), those of the first run of"),
        (
            {"data": ToyData(num_samples=10)},
            r"its data asks for label 0 'a low one' in sample 10, that of the first run for label 1 .* "
            r"Name runs of the same data and conditions, or say what to ask for by --label or --caption\.",
        ),
    ],
)
def test_run_of_other_data_is_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^b cannot be compared with runs/toy/0\.0: {message}"):
        contest(opened(), opened(1.0, **other))


def test_runs_of_other_data_are_compared_once_it_is_said_what_to_ask_for() -> None:
    made = contest(opened(), opened(data=ToyData(num_samples=10)), labels=[2, 0]).made
    assert torch.equal(made["a"].images, made["b"].images)


def test_run_of_fewer_classes_is_not_asked_for_others() -> None:
    with pytest.raises(UserError, match=r"^--label is 2; this run's data has 2 classes, counted from 0\."):
        contest(opened(), opened(data=Two()), labels=[2])


def test_run_that_is_told_nothing_is_refused() -> None:
    from genever_plugins.conditioner.unconditional import Unconditional

    with pytest.raises(UserError, match=r"it is told nothing, and the first run labels\. Name runs of the same data"):
        contest(opened(), opened(1.0, conditioner=Unconditional()))


def test_metric_that_does_not_look_at_what_is_drawn_is_refused() -> None:
    runs = [opened(metrics=[Mean(looks=False)]), opened(0.5)]
    with pytest.raises(UserError, match=r"^--metric is 'mean', but that looks at samples of its own, not at those"):
        contest(*runs).by_metric("mean", block=1)
    with pytest.raises(
        UserError, match=r"^--metric is 'men', which no metric .* measures\. Did you mean .*mean.*There are: mean"
    ):
        contest(*runs).by_metric("men", block=1)
    with pytest.raises(UserError, match=r"^--metric is 'other', of which neither end is the better one\. Name another"):
        contest(*runs).by_metric("other", block=1)
    with pytest.raises(UserError, match=r"^--block is 13, but there are 12 samples\. Give fewer, or raise --num\."):
        contest(*runs).by_metric("mean", block=13)


def test_pictures_lie_in_the_order_of_samples_and_say_what_was_asked(tmp_path: Path) -> None:
    found = contest(opened(), opened(0.5), num=3, labels=[2, 0])
    pictures = found.pictures(tmp_path)
    assert {run: len(files) for run, files in pictures.items()} == {"a": 3, "b": 3}
    assert pictures["a"][0].read_bytes() != pictures["b"][0].read_bytes()
    assert found.asked() == ["label 2", "label 0", "label 2"]


def test_draw_tells_the_noise_and_what_is_asked_for() -> None:
    def drawn(*seeds: int, **asked: Any) -> str:
        return contest(*(opened(seed=seed) for seed in seeds), **asked).draws()[0]

    assert drawn(3, 5) == drawn(3, 4) == "seed 3 label 0 'a low one'"
    assert len({drawn(3, 5), drawn(5, 3), drawn(3, 5, labels=[2])}) == 3
