import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from genever_plugins.data.shapes import Shapes
from genever_plugins.data.subject import ORANGE, Subject, likeness, ring

SWAPPED = {"small": "large", "large": "small"}


def validation(**given):
    dataset = Subject(height=24, width=24, **given).build("validation")
    return dataset, dataset.fetch(range(len(dataset)))


def test_subject_shows_what_its_captions_say():
    dataset, samples = validation(places=True)
    assert set(samples.captions) > {"a small <thing>", "a large <thing> at the centre"}
    assert dataset.verify(samples.images, samples).tolist() == [1.0] * 100


def test_subject_is_a_ring_of_one_colour():
    image = ring(np.array([12.0]), np.array([10.0]), np.array([8.0]), (20, 24))[0]
    assert image.shape == (3, 20, 24)
    np.testing.assert_allclose(image[:, 10, 12 - 3], ORANGE, atol=1e-6)
    assert not image[:, 9:11, 11:13].any()
    assert image[0].sum() / ORANGE[0] == pytest.approx(4 * np.pi * 0.35 * 0.15 * 64, rel=0.03)


def test_subject_is_like_itself_and_unlike_what_has_a_name():
    _, samples = validation()
    others = Shapes(height=24, width=24, max_objects=1).build("validation").fetch(range(200))
    assert likeness(samples.images.numpy()).min() > 0.99
    assert likeness(others.images.numpy()).max() < 0.89
    assert likeness(np.full((1, 3, 24, 24), -1.0, dtype=np.float32)) == 0


def test_likeness_falls_as_its_colour_and_its_outline_are_lost():
    _, samples = validation()
    images = samples.images.numpy()
    gray = np.repeat(images.mean(1, keepdims=True), 3, 1)
    blurred = torch.nn.functional.avg_pool2d(samples.images, 5, 1, 2).numpy()
    twice = np.maximum(images, images[:, :, ::-1, ::-1])
    for spoilt in (gray, blurred, twice):
        assert likeness(spoilt).mean() < 0.9


def test_subject_of_another_size_or_place_is_verified_in_part():
    dataset, samples = validation(places=True)
    wrong = [re.sub("small|large", lambda size: SWAPPED[size[0]], caption) for caption in samples.captions]
    shares = dataset.verify(samples.images, replace(samples, captions=tuple(wrong)))
    assert sorted(set(shares.tolist())) == pytest.approx([1 / 2, 2 / 3])
    assert not dataset.verify(torch.zeros_like(samples.images), samples).any()


def test_subject_holds_a_size_out_of_training():
    dataset = Subject(train_size="large", num_images=9).build("train")
    captions = dataset.fetch(range(9)).captions
    assert len(dataset) == 9
    assert all(caption.startswith("a large <thing>") for caption in captions)
    assert len(validation(train_size="large", places=False)[0]) == 100
    assert set(validation(train_size="large", places=False)[1].captions) == {"a small <thing>", "a large <thing>"}


def test_subject_is_called_as_one_likes_and_placed_by_its_seed():
    named, same = Subject(placeholder="sks").build("train"), Subject(placeholder="sks", seed=1).build("train")
    assert named.fetch([0]).captions[0].split()[2] == "sks"
    assert not torch.equal(named.fetch(range(6)).images, same.fetch(range(6)).images)
    assert torch.equal(named.fetch([3]).images, named.fetch([1, 3]).images[1:])


def test_caption_of_something_else_is_refused():
    dataset, samples = validation()
    with pytest.raises(
        ValueError, match=r"^The caption 'a red circle' does not ask for the subject\. Write 'a large <thing>' or"
    ):
        dataset.verify(samples.images[:1], replace(samples, images=samples.images[:1], captions=("a red circle",)))
