import math
from dataclasses import dataclass

import pytest
import torch
from genever.testing import ToyBackbone
from genever.training import Evaluation, protocol_of
from genever_plugins.data.digits import Digits
from genever_plugins.encoder.classifier import Classifier
from genever_plugins.guidance.cfg import CFG
from genever_plugins.metric.frechet_distance import FrechetDistance, Gaussian, frechet_distance
from genever_plugins.metric.kid import KID
from genever_plugins.metric.precision_recall import PrecisionRecall
from genever_plugins.solver.euler import Euler
from torch import nn


class Flat(nn.Module):
    width = 2

    def forward(self, images):
        return images.flatten(1).unsqueeze(1)


class Pixels:
    def build(self, composition, grid):
        assert grid == (1, 1)
        return Flat()


def normal(num, width=3, seed=0):
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def evaluation_of(composition, samples, num=64):
    made = Evaluation(composition=composition, model=composition.model, solver=Euler(), guidance=None, num_samples=num)
    made._made.append(samples)
    return made


def test_frechet_distance_of_something_from_itself_is_zero():
    one = Gaussian.of(normal(500) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 3, 1]], dtype=torch.float64))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_diagonal_gaussians_is_the_closed_form():
    means, stds = torch.tensor([[0.0, 1, 2], [3, 1, 0]]).double(), torch.tensor([[1.0, 2, 0], [2, 5, 1]]).double()
    one, other = (Gaussian(m.numpy(), s.square().diag().numpy()) for m, s in zip(means, stds, strict=True))
    expected = (means.diff(dim=0) ** 2).sum() + (stds.diff(dim=0) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected.item())


def test_frechet_distance_is_symmetric_for_covariances_that_do_not_commute():
    mix = torch.tensor([[1.0, 0.5, 0], [0, 1, 0.2], [0.9, 0, 1]]).double()
    one, other = Gaussian.of(normal(200) @ mix), Gaussian.of(normal(200, seed=1) @ mix.T)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, other) > 0.1


def test_frechet_distance_agrees_with_the_matrix_square_root():
    from scipy.linalg import sqrtm

    mix = torch.tensor([[1.0, 0.5, 0], [0, 1, 0.2], [0.9, 0, 1]]).double()
    one, other = Gaussian.of(normal(200) @ mix), Gaussian.of(normal(200, seed=1) @ mix.T + 1)
    root = sqrtm(one.cov @ other.cov).real
    expected = ((one.mean - other.mean) ** 2).sum() + (one.cov + other.cov - 2 * root).trace()
    assert frechet_distance(one, other) == pytest.approx(expected)


def test_frechet_distance_is_larger_for_fewer_samples_of_the_same():
    truth = Gaussian.of(normal(20000, width=8, seed=9))
    few, many = ([frechet_distance(Gaussian.of(normal(n, 8, s)), truth) for s in range(5)] for n in (50, 1000))
    assert min(few) > max(many) > 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_frechet_distance_from_what_is_not_finite_is_no_number(value):
    broken = normal(20)
    broken[3, 1] = value
    for pair in ((normal(20), broken), (broken, normal(20))):
        assert math.isnan(frechet_distance(*map(Gaussian.of, pair)))


def test_frechet_distance_needs_two_samples():
    with pytest.raises(ValueError, match=r"Set train\.evaluate_samples to 2 or more"):
        Gaussian.of(normal(1))


def test_frechet_distance_compares_with_the_real_images_of_both_splits(toy):
    composition = toy.compose(data=toy.gaussian(num=600))
    real = composition.data.fetch(range(600))
    assert FrechetDistance(encoder=Pixels()).measure(evaluation_of(composition, real)) == {"fd": pytest.approx(0, abs=1e-4)}
    shifted = toy.gaussian(mean=(3.0, -1.0), num=600).fetch(range(600))
    found = FrechetDistance(encoder=Pixels()).measure(evaluation_of(composition, shifted))
    assert found["fd"] == pytest.approx(1, abs=1e-4)


def test_frechet_distance_in_a_classifiers_features_tells_digits_from_noise_and_names_its_accuracy(toy):
    composition = toy.compose(data=Digits(), backbone=ToyBackbone(width=4, depth=1))
    metric = FrechetDistance(encoder=Classifier())
    real = composition.validation.fetch(range(355))
    noisy = composition.validation.fetch(range(355))
    noisy.images.add_(torch.randn(noisy.images.shape, generator=torch.Generator().manual_seed(0)))
    near, far = (metric.measure(evaluation_of(composition, samples)) for samples in (real, noisy))
    assert near["fd"] < far["fd"] / 10
    assert near["classifier_accuracy"] >= 0.95


def test_frechet_distance_looks_at_real_images_once_for_a_stage(toy, monkeypatch):
    composition = toy.compose(data=toy.gaussian(num=600))
    metric, samples = FrechetDistance(encoder=Pixels()), composition.data.fetch(range(64))
    first = metric.measure(evaluation_of(composition, samples))
    monkeypatch.setattr(type(composition.data), "fetch", lambda *_: pytest.fail("fetched again"))
    assert metric.measure(evaluation_of(composition, samples)) == first


def test_metrics_of_equal_encoders_see_each_image_once(toy):
    composition, seen = toy.compose(data=toy.gaussian(num=600)), []
    evaluation = evaluation_of(composition, composition.data.fetch(range(64)))

    class Counting(Flat):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    @dataclass(frozen=True)
    class Equal:
        def build(self, composition, grid):
            return Counting()

    for metric in (FrechetDistance, KID, PrecisionRecall):
        metric(encoder=Equal()).measure(evaluation)
    assert sum(seen) == 2 * 600 + 64


def test_protocol_says_how_many_samples_by_whose_eyes(toy):
    composition = toy.compose(data=toy.gaussian(num=600))
    evaluation = Evaluation(
        composition=composition, model=None, solver=Euler(num_steps=4), guidance=CFG(scale=3.0), num_samples=1000
    )
    assert protocol_of(FrechetDistance(encoder=Classifier(steps=9), num_real=500), evaluation) == (
        "1,000 samples in 4 steps of Euler, guided by CFG(scale=3.0), against 1,000 real images of both splits, "
        "in features of Classifier(steps=9)"
    )
    assert protocol_of(Silent(), evaluation) == ""


class Silent:
    """A metric of somebody who says nothing."""

    def measure(self, evaluation):
        return {"one": 1.0}
