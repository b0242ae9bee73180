import pytest
import torch
from genever.training import Evaluation
from genever.values import Samples
from genever_plugins.metric.precision_recall import PrecisionRecall, covered, neighbour_distances
from torch import nn


class Flat(nn.Module):
    width = 2

    def forward(self, images):
        return images.flatten(1).unsqueeze(1)


class Pixels:
    def build(self, composition, grid):
        return Flat()


def measured(toy, made, num=100, **given):
    composition = toy.compose(data=toy.gaussian(mean=(0.0, 0.0), std=0.3, num=num))
    evaluation = Evaluation(composition=composition, model=None, solver=None, guidance=None, num_samples=len(made))
    evaluation._made.append(Samples(images=made))
    return PrecisionRecall(encoder=Pixels(), **given).measure(evaluation)


def points(num, seed=0):
    return torch.randn(num, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_neighbour_distance_is_that_of_the_kth_other_point():
    line = torch.tensor([[0.0], [1], [3], [7]]).double()
    torch.testing.assert_close(neighbour_distances(line, 2), torch.tensor([3.0, 2, 3, 6]).double())


def test_covered_points_are_those_of_a_double_loop():
    support, asked = points(60).tolist(), (2 * points(80, seed=1)).tolist()

    def distance(a, b):
        return sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5

    radius = [sorted(distance(a, b) for j, b in enumerate(support) if j != i)[2] for i, a in enumerate(support)]
    wanted = [any(distance(x, a) <= r for a, r in zip(support, radius, strict=True)) for x in asked]
    assert 10 < sum(wanted) < 70
    assert covered(2 * points(80, seed=1), points(60), 3).tolist() == wanted


def test_precision_and_recall_of_what_is_far_away_are_zero(toy):
    assert measured(toy, toy.gaussian(mean=(9.0, 9.0), num=50).images) == {"precision": 0.0, "recall": 0.0}


def test_precision_and_recall_of_the_real_images_are_one(toy):
    real = toy.gaussian(mean=(0.0, 0.0), std=0.3, num=100).images
    assert measured(toy, real) == {"precision": 1.0, "recall": 1.0}


def test_recall_alone_falls_where_samples_are_of_one_half(toy):
    real = toy.gaussian(mean=(0.0, 0.0), std=0.3, num=1000).images
    found = measured(toy, real[real[:, 0, 0, 0] > 0], num=1000)
    assert found["precision"] == 1.0
    assert 0.45 < found["recall"] < 0.65


def test_more_neighbours_than_images_are_refused(toy):
    with pytest.raises(ValueError, match=r"neighbours = 3, but there are 3 generated and 200 real images\. Set train\.eval"):
        measured(toy, torch.zeros(3, 2, 1, 1))
