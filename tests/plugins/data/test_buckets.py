"""Aspect-ratio buckets: which there are, who is in which, and in which order they are drawn."""

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from genever.testing import toy_composition
from genever.training import World
from genever_plugins.data.aspect_ratios import bucket_sizes, errors
from genever_plugins.data.bucket_order import BucketOrder
from genever_plugins.data.buckets import Bucketed, Buckets
from genever_plugins.data.digits import Digits
from genever_plugins.data.image_folder import ImageFolder
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

SIZES = [(8, 8), (8, 9), (5, 20), (20, 5), (30, 10), (7, 8), (40, 4), (16, 16), (10, 30), (9, 18), (8, 8)]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Images of many sizes; the brightness of each tells its number."""
    for number, (height, width) in enumerate(SIZES):
        pixels = np.full((height, width, 3), 10 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    return str(tmp_path)


def part(folder: str, **settings: Any) -> Buckets:
    data = ImageFolder(path=folder, height=8, width=8, validation_share=0)
    return Buckets(**{"data": data, "multiple": 4, "batch_multiple": 1, **settings})


def bucketed(folder: str, **settings: Any) -> Bucketed:
    dataset = part(folder, **settings).build("train")
    assert isinstance(dataset, Bucketed)
    return dataset


def plan(dataset: Bucketed, step: int, batch_size: int = 2, seed: int = 0) -> list[int]:
    return dataset.plan(step, num_steps=10, batch_size=batch_size, seed=seed, stream=0)


# Which buckets there are


@given(max_area=st.integers(1, 150), multiple=st.integers(1, 6), min_side=st.integers(1, 12))
def test_buckets_are_all_sizes_than_which_none_is_larger(max_area: int, multiple: int, min_side: int) -> None:
    sides = [side for side in range(multiple, max_area + 1, multiple) if side >= min_side]
    fit = [(height, width) for height, width in product(sides, sides) if height * width <= max_area]
    largest = [(h, w) for h, w in fit if not any((h, w) != (a, b) and a >= h and b >= w for a, b in fit)]
    assert sorted(bucket_sizes(max_area, multiple=multiple, min_side=min_side)) == sorted(largest)


def test_buckets_of_a_small_area() -> None:
    assert bucket_sizes(64, multiple=4, min_side=4) == [(16, 4), (8, 8), (4, 16)]
    assert bucket_sizes(64, multiple=4, min_side=8) == [(8, 8)]
    assert bucket_sizes(63, multiple=8, min_side=8) == []


# Who is in which


def nearest(size: tuple[int, int], buckets: Sequence[tuple[int, int]]) -> int:
    """By the definition, one after the other."""
    best, found = math.inf, -1
    for number, (height, width) in enumerate(buckets):
        error = abs(math.log(size[1] / size[0]) - math.log(width / height))
        if error < best - 1e-12:
            best, found = error, number
    return found


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1, max_size=9))
def test_error_is_of_the_logarithms_of_aspects(images: list[tuple[int, int]]) -> None:
    buckets = bucket_sizes(400, multiple=4, min_side=4)
    found = errors(images, buckets)
    for size, row in zip(images, found, strict=True):
        number = nearest(size, buckets)
        assert row[number] == pytest.approx(row.min(), abs=1e-9)
        wanted = math.log(size[1] / size[0] * buckets[number][0] / buckets[number][1])
        assert row[number] == pytest.approx(abs(wanted), abs=1e-9)


def test_covering_and_cropping_takes_as_much_as_the_error_says() -> None:
    ((error,),) = errors([(10, 30)], [(8, 8)])
    assert 1 - math.exp(-error) == pytest.approx(20 / 30)


def test_every_image_is_in_its_nearest_bucket_and_in_no_other(folder: str) -> None:
    dataset = bucketed(folder, multiple=2)
    assert all(height * width <= 64 for height, width in dataset.sizes)
    for size, images in zip(dataset.sizes, dataset.members, strict=True):
        for image in images:
            assert dataset.sizes[nearest(SIZES[image], dataset.sizes)] == size
    assert sorted(image for images in dataset.members for image in images) == list(range(len(SIZES)))


def test_images_far_from_every_bucket_are_left_out_and_counted(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "genever"):
        dataset = bucketed(folder, sizes=[(8, 8)], max_error=0.2)
    assert dataset.members == [[0, 1, 5, 7, 10]]
    assert "left out 6 of 11 images: their buckets would cut off more than 18 % of them" in caplog.text


# What a step sees


def test_step_sees_one_bucket_resized_and_cropped(folder: str) -> None:
    dataset = bucketed(folder)
    for step in range(12):
        indices = plan(dataset, step)
        samples = dataset.fetch(indices)
        assert tuple(samples.images.shape[-2:]) in dataset.sizes
        brightness = (samples.images.mean((1, 2, 3)) + 1) * 127.5 / 10
        assert [round(float(number)) for number in brightness] == [index - len(dataset) for index in indices]


def test_step_has_no_more_pixels_than_one_of_whole_images(folder: str) -> None:
    dataset = bucketed(folder, multiple=2, max_area=64)
    for shape in dataset.batches(10):
        assert shape.num_samples >= 10
        assert shape.num_samples * shape.height * shape.width <= 10 * 64
        assert (shape.num_samples + 1) * shape.height * shape.width > 10 * 64


@pytest.mark.parametrize(("multiple", "num"), [(8, 16), (4, 20), (16, 16), (3, 21)])
def test_batches_are_multiples_of_what_divides_both(folder: str, multiple: int, num: int) -> None:
    sizes = [(4, 12), (8, 8)]
    shapes = bucketed(folder, sizes=sizes, batch_multiple=multiple).batches(16)
    unit = math.gcd(16, multiple)
    assert [shape.num_samples for shape in shapes] == [16 * 64 // 48 // unit * unit, 16] == [num, 16]


def test_without_a_plan_images_are_of_the_size_of_the_data(folder: str) -> None:
    dataset, whole = bucketed(folder), part(folder).data.build("train")
    assert len(dataset) == len(SIZES)
    assert torch.equal(dataset.fetch([2, 6]).images, whole.fetch([2, 6]).images)
    assert not hasattr(part(folder).build("validation"), "plan")


@given(
    pairs=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=5),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_buckets_are_drawn_in_proportion_to_what_they_hold(pairs: list[tuple[int, int]], epochs: int, seed: int) -> None:
    order = BucketOrder(held=[held for held, _ in pairs], sizes=[size for _, size in pairs])
    times = order.drawn(epochs)
    drawn = [order.at(step, seed=seed, stream=0) for step in range(sum(times))]
    assert [[bucket for bucket, _ in drawn].count(number) for number in range(len(pairs))] == times
    assert all(abs(time - epochs * held / size) <= 0.5 for time, (held, size) in zip(times, pairs, strict=True))
    for number in range(len(pairs)):  # Each time from where the bucket was left.
        assert [before for bucket, before in drawn if bucket == number] == list(range(times[number]))


def test_no_image_comes_again_before_its_bucket_is_through(folder: str) -> None:
    dataset = bucketed(folder)
    row = [index - len(dataset) for step in range(30) for index in plan(dataset, step)]
    for images in dataset.members:
        mine = [image for image in row if image in images]
        for epoch in range(len(mine) // len(images)):
            assert sorted(mine[epoch * len(images) : (epoch + 1) * len(images)]) == sorted(images)


def test_every_image_is_seen_as_often_as_any_other(folder: str) -> None:
    dataset = bucketed(folder)
    counts = Counter(index for step in range(600) for index in plan(dataset, step))
    assert max(counts.values()) - min(counts.values()) <= 3
    assert len(counts) == len(SIZES)


def test_buckets_come_in_another_order_with_another_seed(folder: str) -> None:
    dataset = bucketed(folder)
    assert [plan(dataset, step) for step in range(5)] != [plan(dataset, step, seed=1) for step in range(5)]


@pytest.mark.parametrize("size", [2, 4])
def test_processes_share_a_bucket_out(folder: str, size: int) -> None:
    feed = toy_composition(data=part(folder, batch_multiple=4), batch_size=4, steps=9).feed()
    for step in range(4):
        parts = [next(replace(feed, world=World(rank=rank, size=size)).at(step)) for rank in range(size)]
        whole = next(feed.at(step))
        assert torch.equal(torch.cat([one.x_1 for one in parts]), whole.x_1)
        assert torch.equal(torch.cat([one.noise() for one in parts]), whole.noise())


# What is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"multiple": 16},
            r"Buckets\.multiple = 16 and Buckets\.min_side = None leave no bucket of at most 64 pixels\. Lower",
        ),
        ({"sizes": [(8, 8), (4, 32)]}, r"Buckets\.sizes names 4x32, whose sides are not multiples of Buckets\.multiple = 4"),
        ({"sizes": [(6, 8)]}, r"Buckets\.sizes names 6x8"),
        ({"sizes": [(8, 8), (8, 4), (12, 4)]}, r"Buckets\.sizes names 8x4, which no image fits: all are nearer"),
        ({"data": Digits()}, r"Buckets\.data = Digits gives its images in one size alone\. Name data that can resize"),
    ],
)
def test_buckets_that_cannot_be_are_refused(folder: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        part(folder, **settings).build("train")


def test_buckets_of_which_no_image_is_near_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (40, 4)).save(tmp_path / f"{number}.png")
    message = r"Buckets\.max_error = 0\.5 leaves no image: the best of 2 is 2\.303 from its bucket\. Raise it"
    with pytest.raises(ValueError, match=message):
        part(str(tmp_path), sizes=[(8, 8)], max_error=0.5).build("train")
