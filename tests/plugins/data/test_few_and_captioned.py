from dataclasses import replace

import pytest
import torch
from genever.testing import ToyData
from genever_plugins.data.captioned import Captioned
from genever_plugins.data.digits import Digits
from genever_plugins.data.few import Few


def test_few_are_the_first_of_the_training_split_and_the_whole_other_one():
    few, all_of_it = Few(data=Digits(), num=4), Digits()
    train, validation = few.build("train"), few.build("validation")
    expected = all_of_it.build("train").fetch(range(4))
    assert len(train) == 4
    assert torch.equal(train.fetch(range(4)).images, expected.images)
    assert torch.equal(train.fetch([3]).labels, expected.labels[3:])
    assert len(validation) == len(all_of_it.build("validation"))


def test_few_are_all_where_there_are_no_more():
    assert len(Few(data=ToyData(num_samples=3), num=5).build("train")) == 3


@pytest.mark.parametrize("index", [4, -1])
def test_few_have_no_image_beyond_their_number(index):
    with pytest.raises(IndexError, match=rf"^There is no image number {index} among 4\.$"):
        Few(data=Digits(), num=4).build("train").fetch([0, index])


def test_captioned_images_keep_all_but_their_captions():
    dataset, plain = Captioned(data=Digits(), captions=("a <thing>", "the <thing>")).build("validation"), Digits()
    samples, expected = dataset.fetch([5, 0, 2]), plain.build("validation").fetch([5, 0, 2])
    assert samples.captions == ("the <thing>", "a <thing>", "a <thing>")
    assert torch.equal(samples.images, expected.images)
    assert torch.equal(samples.labels, expected.labels)
    assert dataset.spec == replace(plain.build("validation").spec, captions=True)
    assert len(dataset) == len(plain.build("validation"))


def test_few_are_verified_and_resized_as_their_data_is():
    dataset, whole = Few(data=ToyData(), num=4).build("train"), ToyData().build("train")
    samples = whole.fetch([3, 1])
    assert dataset.verify(-samples.images, samples).tolist() == whole.verify(-samples.images, samples).tolist() == [0, 1]
    assert dataset.sizes() == [(4, 4)] * 4
    assert torch.equal(dataset.fetch_at([3], height=2, width=6).images, whole.fetch_at([3], height=2, width=6).images)
    with pytest.raises(IndexError, match=r"^There is no image number 4 among 4"):
        dataset.fetch_at([4], height=2, width=6)


def test_captioned_images_have_the_same_captions_at_another_size():
    dataset, whole = Captioned(data=ToyData(), captions=("a", "b", "c")).build("train"), ToyData().build("train")
    samples = dataset.fetch_at([5, 0], height=2, width=6)
    assert samples.captions == ("c", "a")
    assert torch.equal(samples.images, whole.fetch_at([5, 0], height=2, width=6).images)
    assert dataset.sizes() == whole.sizes()
