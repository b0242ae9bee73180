from dataclasses import replace

import pytest
import torch
from genever.testing import ToyData
from genever_plugins.data.candidates import Candidates
from genever_plugins.data.digits import Digits
from genever_plugins.data.shapes import Shapes


class Unlabelled(ToyData):
    def build(self, split):
        dataset = super().build(split)
        dataset.spec = replace(dataset.spec, num_classes=None)
        return dataset


def all_of(part, split="train"):
    dataset = part.build(split)
    return dataset.fetch(range(len(dataset)))


def test_candidates_begin_with_the_image_itself_and_share_its_label():
    samples, plain = all_of(Candidates(data=Digits(), num=3)), all_of(Digits())
    assert samples.candidates.shape == (1442, 3, 1, 8, 8)
    assert samples.candidates[:, 0].equal(plain.images)
    label_of = {
        tuple(image): label for image, label in zip(plain.images.flatten(1).tolist(), plain.labels.tolist(), strict=True)
    }
    beside = samples.candidates[:, 1:].flatten(0, 1).flatten(1).tolist()
    assert [label_of[tuple(image)] for image in beside] == samples.labels.repeat_interleave(2).tolist()


def test_every_image_stands_beside_one_other():
    part = Candidates(data=Digits(), others="any")
    beside = part.build("train").beside[:, 0]
    assert beside.sort().values.equal(torch.arange(1442))
    assert not (beside == torch.arange(1442)).any()


def test_candidates_are_verified_as_their_data_says():
    dataset, plain = Candidates(data=ToyData()).build("validation"), ToyData().build("validation")
    samples = dataset.fetch([0, 1, 2])
    assert dataset.verify(samples.images, samples).tolist() == [1, 1, 1]
    swapped = samples.images[[0, 2, 1]]
    assert dataset.verify(swapped, samples).tolist() == plain.verify(swapped, samples).tolist() == [1, 0, 0]


def test_candidates_follow_from_the_seed_and_the_index():
    part = Candidates(data=Shapes(height=16, width=16, num_images=50), num=2, others="any", seed=3)
    first, again = part.build("train").fetch([4, 9]), part.build("train").fetch([9])
    assert first.candidates[1].equal(again.candidates[0])
    assert not part.build("validation").fetch([9]).candidates.equal(again.candidates)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Candidates(data=ToyData(), num=400), r"data.Candidates.num = 400, but a label of its data has \d+ samples"),
        (Candidates(data=Unlabelled()), "'same label', but its data has no labels. Choose 'any'."),
    ],
)
def test_candidates_that_cannot_be_found_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        part.build("train")
