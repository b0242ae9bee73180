import pytest
import torch
from genever.training import Evaluation
from genever_plugins.metric.kid import KID, squared_mmd
from torch import nn


class Flat(nn.Module):
    width = 2

    def forward(self, images):
        return images.flatten(1).unsqueeze(1)


class Pixels:
    def build(self, composition, grid):
        return Flat()


def normal(num, width=3, seed=0, mean=0.0):
    return mean + torch.randn(num, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measured(toy, made, real, **given):
    composition = toy.compose(data=toy.gaussian(num=real))
    evaluation = Evaluation(composition=composition, model=None, solver=None, guidance=None, num_samples=len(made))
    evaluation._made.append(made)
    return KID(encoder=Pixels(), **given).measure(evaluation)


def kernel(x, y):
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def test_squared_mmd_is_the_double_loop_over_different_images():
    x, y = normal(7).tolist(), normal(5, seed=1, mean=0.5).tolist()
    within = [
        sum(kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j) / (len(z) * (len(z) - 1))
        for z in (x, y)
    ]
    between = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    found = squared_mmd(torch.tensor(x).double(), torch.tensor(y).double())
    assert found.item() == pytest.approx(sum(within) - 2 * between)


def test_squared_mmd_is_zero_on_average_for_samples_of_one_distribution():
    found = torch.stack([squared_mmd(normal(20, seed=2 * n), normal(30, seed=2 * n + 1)) for n in range(300)])
    error = found.std() / len(found) ** 0.5
    assert (found < 0).any()
    assert found.mean().abs() < 3 * error


def test_squared_mmd_of_shifted_points_is_what_moments_say():
    # E k(x, y) of normals in one dimension with means a, b: 1 + 3 ab + 3 (1 + a²)(1 + b²) + (3a + a³)(3b + b³).
    def expected(a, b):
        return 1 + 3 * a * b + 3 * (1 + a * a) * (1 + b * b) + (3 * a + a**3) * (3 * b + b**3)

    found = squared_mmd(normal(1500, width=1, mean=1.0), normal(1500, width=1, seed=1))
    assert found.item() == pytest.approx(expected(1, 1) + expected(0, 0) - 2 * expected(1, 0), rel=0.15)


def test_kid_of_whole_sets_is_one_number_without_spread(toy):
    made = toy.gaussian(mean=(3.0, -1.0), num=40).fetch(range(40))
    found = measured(toy, made, real=20, num_subsets=3)
    real = torch.cat([toy.gaussian(num=20).images.flatten(1).double()] * 2)  # Both splits.
    assert found["kid"] == pytest.approx(squared_mmd(made.images.flatten(1).double(), real).item())
    assert found["kid_std"] == pytest.approx(0, abs=1e-9)


def test_kid_of_subsets_is_their_mean_and_spread(toy):
    made = toy.gaussian(mean=(3.0, -1.0), num=200).fetch(range(200))
    whole, parts = (measured(toy, made, real=200, subset_size=size, num_subsets=50) for size in (200, 40))
    assert parts["kid_std"] > whole["kid_std"] > 0
    assert abs(parts["kid"] - whole["kid"]) < 4 * parts["kid_std"] / 50**0.5 + 4 * whole["kid_std"]


def test_kid_of_one_image_is_refused(toy):
    with pytest.raises(
        ValueError, match=r"^metric\.KID compares 1 generated with 200 real images,.*train\.evaluate_samples to 2 or"
    ):
        measured(toy, toy.gaussian(num=1).fetch(range(1)), real=100)
