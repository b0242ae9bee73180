from dataclasses import replace

import pytest
import torch
from genever.slots import ClassifierModule
from genever.testing import ToyBackbone
from genever.training import Composition
from genever_plugins.data.digits import Digits
from genever_plugins.encoder import classifier, fit
from genever_plugins.encoder.classifier import Classifier


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path))
    return tmp_path / "classifiers"


@pytest.fixture
def digits(toy) -> Composition:
    return toy.compose(data=Digits(), backbone=ToyBackbone(width=4, depth=1))


def weights_of(module):
    return torch.cat([p.flatten() for p in module.parameters()])


def test_classifier_reads_unseen_digits(digits):
    judge = Classifier().build(digits, (1, 1))
    unseen = digits.validation.fetch(range(len(digits.validation)))
    right = judge.logits(unseen.images).argmax(1) == unseen.labels
    assert judge.accuracy == pytest.approx(right.float().mean().item())
    assert judge.accuracy >= 0.95
    assert isinstance(judge, ClassifierModule)


def test_classifier_is_the_same_to_the_bit_whatever_goes_on_around_it(digits, own_cache):
    first = weights_of(Classifier(steps=30).build(digits, (1, 1)))
    next(own_cache.iterdir()).unlink()
    torch.manual_seed(77)
    torch.set_num_threads(2)
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            second = weights_of(Classifier(steps=30).build(digits, (1, 1)))
    finally:
        torch.set_num_threads(1)
    assert torch.equal(first, second)


def test_classifier_leaves_the_global_generator_alone(digits):
    torch.manual_seed(5)
    Classifier(steps=2).build(digits, (1, 1))
    assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(5)))


def test_classifier_is_trained_once_and_then_read_from_the_cache(digits, monkeypatch):
    first = Classifier(steps=5).build(digits, (1, 1))
    monkeypatch.setattr(fit, "fit", lambda *_, **__: pytest.fail("trained again"))
    again = Classifier(steps=5).build(digits, (1, 1))
    assert torch.equal(weights_of(first), weights_of(again))
    assert first.accuracy == again.accuracy > 0


@pytest.mark.parametrize("changed", [Classifier(steps=6), Classifier(steps=5, seed=1), Classifier(steps=5, num_images=99)])
def test_classifier_is_trained_anew_for_other_settings(digits, own_cache, changed):
    Classifier(steps=5).build(digits, (1, 1))
    changed.build(digits, (1, 1))
    assert len(list(own_cache.iterdir())) == 2


def test_classifier_that_other_code_learned_is_not_read(digits, own_cache, monkeypatch):
    Classifier(steps=5).build(digits, (1, 1))
    monkeypatch.setattr(classifier, "SOURCES", (*classifier.SOURCES, b"another line"))
    Classifier(steps=5).build(digits, (1, 1))
    assert len(list(own_cache.iterdir())) == 2


def test_classifier_is_kept_under_the_code_that_ran_when_its_file_is_edited(digits, own_cache, monkeypatch, tmp_path):
    Classifier(steps=5).build(digits, (1, 1))
    edited = tmp_path / "fit.py"
    edited.write_text("edited")
    monkeypatch.setattr(fit, "__file__", str(edited))
    Classifier(steps=5).build(digits, (1, 1))
    assert len(list(own_cache.iterdir())) == 1


def test_classifier_replaces_a_damaged_cache(digits, own_cache):
    first = Classifier(steps=5).build(digits, (1, 1))
    (file,) = own_cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert torch.equal(weights_of(first), weights_of(Classifier(steps=5).build(digits, (1, 1))))
    assert file.read_bytes() == whole


def test_classifier_lives_with_a_cache_that_cannot_be_written(digits, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("GENEVER_CACHE", str(tmp_path / "a file" / "below"))
    assert Classifier(steps=5).build(digits, (1, 1)).accuracy > 0


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (4, 4), (8, 8), (3, 5)])
def test_classifier_lays_features_on_the_asked_grid(digits, grid):
    module = Classifier(steps=2, width=24).build(digits, grid)
    assert module(digits.data.fetch([0, 1]).images).shape == (2, grid[0] * grid[1], 24)
    assert module.width == 24


@pytest.mark.parametrize(("row", "column", "token"), [(7, 0, 12), (0, 7, 3), (2, 4, 6)])
def test_classifier_tokens_are_row_major(digits, row, column, token):
    module = Classifier(steps=2).build(digits, (4, 4))
    image = digits.data.fetch([0]).images
    changed = image.clone()
    changed[..., row, column] += 1
    assert (module(image) - module(changed)).norm(dim=2).argmax() == token


def test_classifier_is_frozen_but_lets_a_gradient_through(digits):
    module = Classifier(steps=2).build(digits, (1, 1))
    images = digits.data.fetch([0]).images.requires_grad_()
    module.logits(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in module.parameters())


def test_classifier_of_named_data_knows_classes_that_the_stage_does_not_show(toy):
    subset = toy.compose(data=Digits(classes=(3,)), backbone=ToyBackbone(width=4, depth=1))
    judge = Classifier(data=Digits()).build(subset, (1, 1))
    others = Digits(classes=(7,)).build("validation")
    predicted = judge.logits(others.fetch(range(len(others))).images).argmax(1)
    assert (predicted == 7).float().mean() > 0.9


def test_classifier_on_the_meta_device_trains_nothing(digits, monkeypatch):
    monkeypatch.setattr(fit, "fit", lambda *_, **__: pytest.fail("trained"))
    with torch.device("meta"):
        module = Classifier().build(replace_device(digits, "meta"), (1, 1))
    assert all(p.device.type == "meta" for p in module.parameters())


def test_classifier_of_named_data_is_as_large_on_the_meta_device(toy):
    composition = toy.compose(data=toy.gaussian(mean=(0.0,), side=8), backbone=ToyBackbone(width=4, depth=1))
    part = Classifier(data=Digits(), steps=2)
    real = part.build(composition, (2, 2))
    with torch.device("meta"):
        meta = part.build(replace_device(composition, "meta"), (2, 2))
    shapes = [{name: one.shape for name, one in module.state_dict().items()} for module in (real, meta)]
    assert shapes[0] == shapes[1]
    assert all(one.device.type == "meta" for one in meta.state_dict().values())


def replace_device(composition, device):
    tuned = composition.tuned
    moved = replace(composition, device=torch.device(device))
    moved.tuned = tuned
    return moved


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_classifier_says_what_to_do_about_data_without_labels(toy, device):
    with pytest.raises(ValueError, match=r"its data has none. Name labelled images as Classifier\.data"):
        Classifier().build(replace_device(toy.compose(), device), (1, 1))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_classifier_says_that_its_data_has_another_size(toy, device):
    points = toy.gaussian(side=4, num_classes=3)
    with pytest.raises(ValueError, match=r"\(1, 8, 8\), but those of train\.data are \(2, 4, 4\)"):
        Classifier(data=Digits()).build(replace_device(toy.compose(data=points), device), (1, 1))
