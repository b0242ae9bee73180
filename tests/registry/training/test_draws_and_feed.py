"""Luck and data are functions of (seed, step, place in the global batch): no history, no process, no split changes them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from genever.testing import toy_composition
from genever.training import Batch, Draws, Feed, derived_seed
from genever.training._ahead import Ahead
from genever.training._feed import indices_at
from genever.values import LatentSpec, Samples
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

CPU = torch.device("cpu")
DRAWS: dict[str, Callable[[Draws, str], Tensor]] = {
    "normal": lambda draws, name: draws.normal(name, (3, 2)),
    "uniform": lambda draws, name: draws.uniform(name),
    "integers": lambda draws, name: draws.integers(name, 1000, (4,)),
    "each": lambda draws, name: draws.each(name, lambda num, generator: torch.randperm(num, generator=generator)),
}
READINGS: dict[str, Callable[[Batch], Tensor]] = {
    "data": lambda batch: batch.x_1,
    "images": lambda batch: batch.images,
    "condition": lambda batch: batch.cond,
    "dropped condition": lambda batch: batch.training_cond(),
    "noise": lambda batch: batch.noise(),
    "other noise": lambda batch: batch.noise("critic"),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
every_reading = pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
steps = st.integers(0, 10**6)
names = st.text(st.characters(exclude_characters="/"))


def draws(key: tuple[int, ...] = (0, 0, 0), rows: slice = slice(None), total: int = 24) -> Draws:
    return Draws(key, rows, total, CPU)


def feed(**settings: Any) -> Feed:
    return toy_composition(**{"batch_size": 12, **settings}).feed()


def read(feed: Feed, step: int, reading: Callable[[Batch], Tensor], streams: int = 1) -> Tensor:
    """What the global batches of a step hold, their micro-batches put together."""
    now = feed.at(step)
    return torch.cat([reading(next(now)) for _ in range(streams * feed.accumulate)])


# Draws


@every_draw
@given(cuts=st.lists(st.integers(0, 24), max_size=4), key=st.tuples(steps, steps, steps))
def test_draws_of_a_split_batch_are_those_of_the_whole(draw: Callable, cuts: list[int], key: tuple[int, ...]) -> None:
    edges = [0, *sorted(cuts), 24]
    parts = [draw(draws(key, slice(*edge)), "a") for edge in pairwise(edges)]
    assert torch.equal(torch.cat(parts), draw(draws(key), "a"))


@every_draw
def test_draws_of_a_name_do_not_depend_on_those_before(draw: Callable) -> None:
    used = draws()
    for other in DRAWS.values():
        other(used, "b")
        other(used, "a")
    torch.rand(7)
    assert torch.equal(draw(used, "a"), draw(draws(), "a"))


@every_draw
@given(name=names, other=names, key=st.tuples(steps, steps), changed=st.integers(1, 10**6))
def test_draws_differ_by_name_and_by_key(draw: Callable, name: str, other: str, key: tuple[int, int], changed: int) -> None:
    found = draw(draws(key), name)
    assert name == other or not torch.equal(found, draw(draws(key), other))
    assert not torch.equal(found, draw(draws((key[0] + changed, key[1])), name))
    assert not torch.equal(found, draw(draws((key[0], key[1] + changed)), name))


@pytest.mark.parametrize(("name", "other_key"), [("b", (0, 0, 0)), ("a", (1, 0, 0)), ("a", (0, 1, 0)), ("a", (0, 0, 1))])
def test_draws_of_another_name_or_key_are_uncorrelated(name: str, other_key: tuple[int, ...]) -> None:
    one = draws(total=20_000).normal("a", ())
    other = draws(other_key, total=20_000).normal(name, ())
    assert (one * other).mean().abs() < 4 / 20_000**0.5


def test_draws_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    for draw in DRAWS.values():
        draw(draws(), "a")
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_are_distributed_as_they_say() -> None:
    many = draws(total=40_000)
    normal, uniform, integers = many.normal("a", ()), many.uniform("a"), many.integers("a", 5)
    assert normal.mean().abs() < 0.02
    assert abs(float(normal.std()) - 1) < 0.02
    assert torch.equal(uniform.clamp(0, 1 - 2**-24), uniform)
    assert abs(float(uniform.mean()) - 0.5) < 0.01
    assert torch.bincount(integers, minlength=5).sub(8000).abs().max() < 400


def test_derived_seed_stays_what_it_is() -> None:
    assert derived_seed(0, 1, 2, "noise") == 3_787_686_133_917_371_957


@given(st.lists(st.integers() | names))
def test_derived_seed_is_one_that_torch_takes(key: list[int | str]) -> None:
    assert 0 <= derived_seed(*key) < 2**63
    torch.Generator().manual_seed(derived_seed(*key))


# The order of the data


@given(num=st.integers(1, 50), seed=st.integers(0, 99), stream=st.integers(0, 3), epoch=st.integers(0, 10**6))
def test_every_epoch_visits_each_sample_once(num: int, seed: int, stream: int, epoch: int) -> None:
    assert sorted(indices_at(num, seed, stream, epoch * num, (epoch + 1) * num)) == list(range(num))


@given(num=st.integers(1, 20), cuts=st.lists(st.integers(0, 100), min_size=2, max_size=6))
def test_order_is_one_row_however_it_is_cut(num: int, cuts: list[int]) -> None:
    edges = sorted(cuts)
    parts = [indices_at(num, 3, 0, *edge) for edge in pairwise(edges)]
    assert [index for part in parts for index in part] == indices_at(num, 3, 0, edges[0], edges[-1])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 11)), min_size=1, max_size=40))
def test_order_does_not_depend_on_what_was_asked_before(asked: list[tuple[int, int, int]]) -> None:
    def order(seed: int, stream: int, epoch: int) -> list[int]:
        return indices_at(17, seed, stream, epoch * 17, (epoch + 1) * 17)

    first = {key: order(*key) for key in asked}
    assert all(order(*key) == first[key] for key in asked)


@pytest.mark.parametrize("changed", [(64, 1, 0, 0, 64), (64, 0, 1, 0, 64), (64, 0, 0, 64, 128)])
def test_order_differs_by_seed_stream_and_epoch(changed: tuple[int, ...]) -> None:
    assert indices_at(*changed) != indices_at(64, 0, 0, 0, 64)


# Feed


@every_reading
@pytest.mark.parametrize("accumulate", [2, 3, 4, 12])
@pytest.mark.parametrize("streams", [1, 2])
def test_feed_gives_the_same_however_a_batch_is_split(reading: Callable, accumulate: int, streams: int) -> None:
    for step in (0, 5):
        whole = read(feed(), step, reading, streams)
        assert torch.equal(read(feed(accumulate=accumulate), step, reading, streams), whole)


@every_reading
@given(history=st.lists(st.integers(0, 20), max_size=5), step=st.integers(0, 20))
def test_feed_of_a_step_does_not_depend_on_the_steps_before(reading: Callable, history: list[int], step: int) -> None:
    used = FEED
    for earlier in history:
        used = used.at(earlier)
        next(used)
    assert torch.equal(read(used, step, reading), read(feed(), step, reading))


@every_reading
@pytest.mark.parametrize("num_fetches", [1, 3])
def test_feed_that_fetches_ahead_gives_the_same(reading: Callable, num_fetches: int) -> None:
    ahead, plain = feed(fetch_ahead=num_fetches, accumulate=2), feed(accumulate=2)
    for step in (0, 1, 2, 7, 8, 3):
        assert torch.equal(read(ahead, step, reading, 2), read(plain, step, reading, 2))


def test_feed_visits_each_sample_once_in_an_epoch() -> None:
    assert len(FEED.samples.dataset) == 48
    seen = torch.cat([read(FEED, step, READINGS["images"]) for step in range(4)])
    everything = FEED.samples.dataset.fetch(range(48)).images
    assert torch.equal(_sorted(seen), _sorted(everything))


def test_feed_goes_on_where_data_is_shorter_than_a_batch() -> None:
    small = feed(batch_size=100)
    counts = torch.unique(read(small, 0, READINGS["images"]).flatten(1), dim=0, return_counts=True)[1]
    assert sorted(counts.tolist()) == [2] * 44 + [3] * 4


@every_reading
def test_feed_gives_a_method_that_asks_twice_another_batch(reading: Callable) -> None:
    now = FEED.at(0)
    assert not torch.equal(reading(next(now)), reading(next(now)))


@every_reading
def test_feed_follows_the_seed_alone(reading: Callable) -> None:
    torch.manual_seed(1)
    one = read(feed(seed=1), 2, reading)
    torch.manual_seed(2)
    assert torch.equal(read(feed(seed=1), 2, reading), one)
    assert not torch.equal(read(feed(seed=2), 2, reading), one)


def test_feed_asks_for_one_update_of_each_micro_batch_and_steps_at_the_last() -> None:
    updates = list(feed(accumulate=3).updates(lambda batch: {}, "critic"))
    assert [update.step for update in updates] == [False, False, True]
    assert sum(update.scale for update in updates) == pytest.approx(1)
    assert {update.group for update in updates} == {"critic"}


def test_feed_hands_each_update_its_own_batch() -> None:
    updates = list(feed(accumulate=3).updates(lambda batch: {"first": batch.x_1}))
    parts = [update.loss()["first"] for update in updates]
    assert torch.equal(torch.cat(parts), read(FEED, 0, READINGS["data"]))


# Condition dropout


def dropped(batch: Batch) -> Tensor:
    return (batch.training_cond() == batch.null).view(len(batch), -1).all(1)


@given(step=steps)
def test_dropout_is_drawn_once_for_each_sample(step: int) -> None:
    batch = next(FEED.at(step))
    batch.noise()
    assert torch.equal(batch.training_cond(), batch.training_cond())
    assert torch.equal(torch.where(dropped(batch), batch.null, batch.cond), batch.training_cond())


def test_dropout_nulls_whole_samples_of_a_condition_of_many_numbers() -> None:
    cond = torch.arange(1, 33).view(8, 4)
    null = torch.zeros_like(cond)
    given = {"images": cond, "samples": Samples(images=cond), "draws": draws(total=8), "dropout": 0.5, "step": 0}
    batch = Batch(x_1=cond, cond=cond, null=null, **given)
    rows = (batch.training_cond() == 0).sum(1)
    assert set(rows.tolist()) == {0, 4}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_dropout_takes_its_share(share: float) -> None:
    many = feed(batch_size=4000)
    many.dropout = share
    found = float(dropped(next(many)).float().mean())
    assert found == pytest.approx(share, abs=0.0 if share in (0, 1) else 0.03)


# Fetching ahead


class Scripted:
    """A dataset that remembers what was fetched, and fails where told."""

    spec: Any = None

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken
        self.fetched: list[list[int]] = []

    def __len__(self) -> int:
        return 100

    def fetch(self, indices: Sequence[int]) -> Samples:
        self.fetched.append(list(indices))
        if self.broken in indices:
            raise OSError(f"sample {self.broken} cannot be read")
        return Samples(images=torch.tensor(indices))


class Still(nn.Module):
    """A codec, and a conditioner, that multiplies by one."""

    latent = LatentSpec(channels=1, height=1, width=1)

    def encode(self, images: Tensor, noise: Tensor) -> Tensor:
        flat = images.float().flatten(1) if images.ndim > 1 else images.float().view(-1, 1)
        return (flat @ torch.eye(flat.shape[1])).view(len(images), -1, 1, 1)

    def prepare(self, samples: Samples) -> Tensor:
        return torch.zeros(len(samples), dtype=torch.int64)

    def null(self, cond: Tensor) -> Tensor:
        return cond


def test_ahead_fetches_what_was_expected_once() -> None:
    dataset = Scripted()
    ahead = Ahead(dataset, 2)
    ahead.expect([1, 2])
    ahead.expect([1, 2])
    assert ahead.fetch([1, 2]).images.tolist() == [1, 2]
    assert dataset.fetched == [[1, 2]]


def test_ahead_survives_wrong_guesses() -> None:
    ahead = Ahead(Scripted(), 2)
    for guess in range(10):
        ahead.expect([guess])
    assert ahead.fetch([50]).images.tolist() == [50]
    assert ahead.fetch([0]).images.tolist() == [0]


def test_ahead_raises_what_the_dataset_raised_when_it_is_asked_for() -> None:
    ahead = Ahead(Scripted(broken=7), 1)
    ahead.expect([7])
    assert ahead.fetch([1]).images.tolist() == [1]
    with pytest.raises(OSError, match="sample 7 cannot be read"):
        ahead.fetch([7])


@pytest.mark.parametrize("streams", [1, 3])
def test_feed_has_every_batch_of_the_next_steps_under_way(streams: int) -> None:
    dataset, composition = Scripted(), toy_composition(batch_size=4, fetch_ahead=3)
    composed = replace(composition.feed(), samples=Ahead(dataset, 3), codec=Still(), conditioner=Still())
    for step in range(4):
        now = composed.at(step)
        for _ in range(streams):
            next(now)
    composed.samples._pool.shutdown()
    assert len(dataset.fetched) == streams * (4 + 3)
    assert len({tuple(indices) for indices in dataset.fetched}) == len(dataset.fetched)


def test_order_of_an_epoch_is_shuffled_once_however_many_streams_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled, original = [], torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda *a, **named: shuffled.append(a) or original(*a, **named))
    for step in range(5):
        for stream in range(20):
            indices_at(1000, 987, stream, 100 * step, 100 * (step + 1))
    assert len(shuffled) == 20


def test_latents_of_a_bf16_stage_are_encoded_in_full_precision() -> None:
    composed = replace(toy_composition().feed(), codec=Still())
    with torch.autocast("cpu", torch.bfloat16):
        assert next(composed.at(0)).x_1.dtype == torch.float32


def test_ahead_of_nothing_fetches_when_asked() -> None:
    dataset = Scripted()
    ahead = Ahead(dataset, 0)
    ahead.expect([1])
    assert dataset.fetched == []
    assert ahead.fetch([1]).images.tolist() == [1]


def _sorted(images: Tensor) -> Tensor:
    flat = images.flatten(1)
    return flat[flat[:, 0].argsort()]


FEED = feed()
