"""Data that plans its own batches: what steps see then, what a stage must be able to do, and what is refused."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import torch
from genever.runs import RunDirectory
from genever.testing import ToyBackbone, ToyCodec, ToyConditioner, ToyData, ToySampler, toy_composition, toy_stage
from genever.training import Regression, Trainer, World, batches_of, compose, indices_at, planned_indices
from genever.values import BatchShape, ConditionSpec, DataSpec, LatentSpec, Samples, TimeContext
from genever_plugins.conditioner.low_resolution import LowResolution
from genever_plugins.parallel.ddp import DDP
from torch import Tensor, nn


@dataclass(frozen=True)
class InTurns:
    """Small images in each even step, half as many large ones in each odd one; or `num_small`, as far as it says."""

    sides: tuple[int, int] = (2, 4)
    num_small: int | None = None
    fetched: Callable[[], None] = lambda: None

    def build(self, split: str) -> "Turns":
        return Turns(self)


class Turns:
    def __init__(self, part: InTurns) -> None:
        self.part = part
        self.spec = DataSpec(channels=2, height=part.sides[1], width=part.sides[1], num_classes=3)

    def __len__(self) -> int:
        return 100

    def fetch(self, indices: Sequence[int]) -> Samples:
        self.part.fetched()
        (side,) = {self.part.sides[index < 100] for index in indices}
        images = torch.tensor(indices).float().view(-1, 1, 1, 1).expand(-1, 2, side, side)
        return Samples(images=images, labels=torch.tensor(indices) % 3)

    def batches(self, batch_size: int) -> list[BatchShape]:
        small, large = self.part.sides
        return [
            BatchShape(num_samples=self.part.num_small or 2 * batch_size, height=small, width=small),
            BatchShape(num_samples=batch_size, height=large, width=large),
        ]

    def plan(self, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int) -> list[int]:
        first = 10 * step + stream
        return list(range(first, first + batch_size)) if step % 2 else list(range(100 + first, 100 + first + 2 * batch_size))


@dataclass(frozen=True)
class OneSize:
    """A backbone, or codec, that does not say that it takes any size."""

    def build(self, *given: Any) -> nn.Module:
        return nn.Linear(1, 1)


@dataclass(frozen=True)
class Patches:
    """A backbone that takes what its patch divides."""

    provides: ClassVar[tuple[str, ...]] = ("any_size",)
    patch: int = 2
    asked: list[LatentSpec] = field(default_factory=list)

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        self.asked.append(latent)
        if latent.height % self.patch:
            raise ValueError(f"patch = {self.patch} does not divide {latent.height}")
        return ToyBackbone().build(latent, condition)


@dataclass(frozen=True)
class HalfSize:
    """A codec whose latents are half as wide and high as images."""

    provides: ClassVar[tuple[str, ...]] = ("any_size",)

    def build(self, data: DataSpec) -> nn.Module:
        module = nn.AvgPool2d(2)
        module.latent = LatentSpec(channels=data.channels, height=data.height // 2, width=data.width // 2)  # pyright: ignore
        module.encode = lambda images, noise: module(images) + 0 * noise  # pyright: ignore
        return module


def read(feed: Any, step: int, streams: int = 1) -> list[Tensor]:
    """The global batches of a step, the micro-batches of all processes put together."""
    now = feed.at(step)
    return [torch.cat([next(now).images for _ in range(now.accumulate)]) for _ in range(streams)]


def steps_of(feed: Any) -> list[Tensor]:
    return [batch for step in (0, 1, 5, 2) for batch in read(feed, step, streams=2)]


def test_feed_gives_what_is_planned() -> None:
    feed = toy_composition(data=InTurns(), batch_size=8, steps=10).feed()
    assert [batch.shape[0] for batch in steps_of(feed)] == [16, 16, 8, 8, 8, 8, 16, 16]
    assert read(feed, 3, streams=2)[1][:, 0, 0, 0].tolist() == list(range(31, 39))


@pytest.mark.parametrize("accumulate", [2, 4])
def test_planned_batch_is_the_same_however_it_is_split(accumulate: int) -> None:
    whole, split = (toy_composition(data=InTurns(), batch_size=8, accumulate=n).feed() for n in (1, accumulate))
    assert all(torch.equal(one, other) for one, other in zip(steps_of(whole), steps_of(split), strict=True))


@pytest.mark.parametrize("size", [2, 4])
def test_processes_share_one_planned_batch_out(size: int) -> None:
    feed = toy_composition(data=InTurns(), batch_size=8).feed()
    parts = [steps_of(replace(feed, world=World(rank=rank, size=size))) for rank in range(size)]
    assert all(torch.equal(torch.cat(mine), whole) for *mine, whole in zip(*parts, steps_of(feed), strict=True))


def test_fetching_ahead_guesses_the_sizes_of_later_steps() -> None:
    seen: list[int] = []
    data = InTurns(fetched=lambda: seen.append(1))
    ahead, plain = (toy_composition(data=data, batch_size=8, fetch_ahead=num).feed() for num in (2, 0))
    batches = [read(ahead, step)[0] for step in range(4)]
    ahead.samples._pool.shutdown()
    assert len(seen) == 4 + 2
    assert all(torch.equal(batch, read(plain, step)[0]) for step, batch in enumerate(batches))


def test_noise_of_a_planned_batch_is_drawn_for_all_of_it() -> None:
    feed = toy_composition(data=InTurns(), batch_size=8).feed()
    parts = [next(replace(feed, world=World(rank=rank, size=2)).at(0)).noise() for rank in (0, 1)]
    assert parts[0].shape == (8, 2, 2, 2)
    assert torch.equal(torch.cat(parts), next(feed.at(0)).noise())


def test_latents_of_other_sizes_are_in_proportion() -> None:
    feed = toy_composition(data=InTurns(), codec=HalfSize(), backbone=ToyBackbone()).feed()
    assert [next(feed.at(step)).latent.shape for step in (0, 1)] == [(2, 1, 1), (2, 2, 2)]


def test_sampler_of_times_is_told_the_size_of_the_batch() -> None:
    told: list[TimeContext] = []

    class Told(ToySampler):
        def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Tensor:
            told.append(context)
            return super().__call__(num, generator=generator, context=context)

    composition = toy_composition(data=InTurns(), sampler=Told())
    method = composition.rounds()[0].start({})
    assert isinstance(method, Regression)
    for step in (0, 1):
        method.times(next(composition.feed().at(step)))
    assert [(context.latent.shape, context.step) for context in told] == [((2, 2, 2), 0), ((2, 4, 4), 1)]


def test_plain_data_is_read_in_shuffled_epochs_still() -> None:
    dataset = ToyData(num_samples=20).build("train")
    planned = planned_indices(dataset, 3, num_steps=9, batch_size=8, seed=1, stream=2)
    assert planned == indices_at(20, 1, 2, 24, 32)
    assert batches_of(dataset, 8) == [BatchShape(num_samples=8, height=4, width=4)]


def test_images_are_counted_as_they_are_planned(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("genever.training._loop.time.perf_counter", lambda: clock[0])
    data = InTurns(fetched=lambda: clock.__setitem__(0, clock[0] + 2))
    run = RunDirectory.create(tmp_path, "toy", "0" * 8, {})
    quiet = {"sample_images": 0, "validate_samples": 0, "log_every": 1}
    Trainer(composition=toy_composition(data=data, batch_size=8, steps=4, **quiet), run=run).train()
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    assert [line["images_per_s"] for line in lines] == [8, 4, 8, 4]


# What is refused


def composed(world: World | None = None, **parts: Any) -> None:
    compose(toy_stage(**{"data": InTurns(), **parts}), device=torch.device("meta"), world=world)


def test_planned_batch_that_does_not_split_is_refused_with_its_numbers() -> None:
    message = (
        r"train\.data = InTurns plans batches of 6 images of 2x2 pixels, which train\.accumulate = 2 parts on 2 processes "
        r"do not divide\. Let it make batches that are multiples of 4\."
    )
    with pytest.raises(ValueError, match=message):
        composed(World(rank=0, size=2), data=InTurns(num_small=6), accumulate=2, parallel=DDP())


def test_batch_that_a_method_makes_smaller_and_that_does_not_split_is_refused() -> None:
    feed = replace(toy_composition(data=InTurns(), batch_size=8, accumulate=4).feed(), batch_size=1)
    with pytest.raises(ValueError, match="plans 2 samples where 1 were asked for, which 4 parts on 1 processes do not"):
        next(feed)


@pytest.mark.parametrize("slot", ["codec", "backbone"])
def test_part_for_one_size_is_refused_by_name(slot: str) -> None:
    message = rf"train\.data = InTurns has images of 2 sizes, but train\.{slot} = OneSize is built for one\. Choose a {slot}"
    with pytest.raises(ValueError, match=message):
        composed(**{slot: OneSize()})


def test_conditioner_that_shows_an_image_is_refused() -> None:
    low = LowResolution(conditioner=ToyConditioner())
    with pytest.raises(
        ValueError, match=r"but train\.conditioner = LowResolution shows an image of one\. Choose data of one"
    ):
        composed(conditioner=low)


def test_part_for_one_size_is_taken_where_all_are_of_one() -> None:
    composed(data=InTurns(sides=(4, 4)), backbone=OneSize())


def test_size_that_the_backbone_refuses_is_refused_when_composing() -> None:
    with pytest.raises(ValueError, match="patch = 2 does not divide 3"):
        composed(data=InTurns(sides=(3, 4)), backbone=Patches())


def test_sizes_are_tried_at_once_where_all_fit() -> None:
    backbone = Patches()
    composed(data=InTurns(sides=(6, 4)), backbone=backbone, codec=ToyCodec())
    assert [latent.height for latent in backbone.asked] == [2, 4]  # The greatest common divisor, then the stage's own size.
