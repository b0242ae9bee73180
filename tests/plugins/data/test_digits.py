import pytest
import torch
from genever_plugins.data.digits import Digits
from sklearn.datasets import load_digits

STYLES = ["plain", "inverted", "mirrored", "quarter_turn", "bold", "striped"]


def all_of(split, **settings):
    dataset = Digits(**settings).build(split)
    return dataset.fetch(range(len(dataset)))


def test_digits_splits_are_disjoint_and_together_the_whole_file():
    both = torch.cat([all_of("train").images, all_of("validation").images])
    file = torch.from_numpy(load_digits().images).float() / 8 - 1
    assert sorted(both.flatten(1).tolist()) == sorted(file.flatten(1).tolist())


def test_digits_split_is_stratified_and_holds_out_a_fifth():
    train, validation = (torch.bincount(all_of(split).labels) for split in ("train", "validation"))
    share = validation / (train + validation)
    assert share.min() > 0.19
    assert share.max() < 0.205


def test_digits_are_floats_from_minus_one_to_one_with_int64_labels():
    samples = all_of("train")
    assert samples.images.dtype == torch.float32
    assert samples.labels.dtype == torch.int64
    assert (samples.images.min(), samples.images.max()) == (-1, 1)


def test_digits_labels_belong_to_their_images():
    file = load_digits()
    by_image = {tuple(image.ravel()): target for image, target in zip(file.images, file.target, strict=True)}
    samples = all_of("validation")
    ink = ((samples.images + 1) * 8).flatten(1).tolist()
    assert [by_image[tuple(one)] for one in ink] == samples.labels.tolist()


def test_digits_fetch_gives_the_same_sample_for_the_same_index():
    dataset = Digits().build("train")
    samples = dataset.fetch([5, 900, 5])
    assert torch.equal(samples.images[0], samples.images[2])
    assert torch.equal(samples.images[1], dataset.fetch([900]).images[0])


def test_digits_subset_keeps_its_labels_and_stays_in_its_split():
    subset, whole = all_of("train", classes=(3, 7)), all_of("train")
    of_whole = torch.isin(whole.labels, torch.tensor([3, 7]))
    assert torch.equal(subset.images, whole.images[of_whole])
    assert torch.equal(subset.labels, whole.labels[of_whole])
    assert Digits(classes=(3, 7)).build("train").spec.num_classes == 10


@pytest.mark.parametrize("style", STYLES[1:])
def test_digits_style_changes_images_and_not_labels(style):
    plain, styled = all_of("validation"), all_of("validation", style=style)
    assert torch.equal(plain.labels, styled.labels)
    assert not torch.equal(plain.images, styled.images)
    assert styled.images.shape == plain.images.shape
    assert styled.images.abs().max() == 1


def test_digits_bold_only_adds_ink_and_striped_only_takes_it():
    plain = all_of("validation").images
    assert (all_of("validation", style="bold").images >= plain).all()
    assert (all_of("validation", style="striped").images <= plain).all()


@pytest.mark.parametrize("classes", [(), (10,), (-1, 3)])
def test_digits_refuses_classes_that_are_no_digits(classes):
    with pytest.raises(ValueError, match=r"Digits\.classes = .* is not a choice of digits"):
        Digits(classes=classes)
