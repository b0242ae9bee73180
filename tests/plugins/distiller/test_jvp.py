from __future__ import annotations

import pytest
import torch
from genever.values import Condition, ConditionSpec, LatentSpec
from genever_plugins.backbone.dit import DiT
from genever_plugins.distiller.jvp import derivative_along
from genever_plugins.path.linear import Linear
from torch import nn

WAYS = ("exact", "finite_differences")


def points(num=16):
    generator = torch.Generator().manual_seed(0)
    x, velocity = (torch.randn(num, 2, 1, 1, generator=generator) for _ in range(2))
    return x, torch.rand(num, generator=generator), velocity


@pytest.mark.parametrize("how", WAYS)
def test_derivative_along_a_trajectory_is_the_chain_rule(how):
    x, t, velocity = points()
    wide = t.view(-1, 1, 1, 1)
    found = derivative_along(lambda x, t: x**2 * t.view(-1, 1, 1, 1) ** 3, x, t, velocity, path=Linear(), how=how)
    torch.testing.assert_close(found, 2 * x * wide**3 * velocity + 3 * x**2 * wide**2, rtol=1e-2, atol=1e-2)


def test_derivative_by_differences_is_that_of_forward_mode_on_attention():
    network = DiT(width=32, depth=2, heads=2, patch=2).build(
        LatentSpec(channels=1, height=8, width=8), ConditionSpec(num_classes=3)
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.05, generator=generator)
    x, velocity = (torch.randn(4, 1, 8, 8, generator=generator) for _ in range(2))
    condition, t = Condition(classes=torch.arange(4) % 3), torch.rand(4, generator=generator)
    exact, near = (
        derivative_along(lambda x, t: network(x, t, condition)[0], x, t, velocity, path=Linear(), how=how) for how in WAYS
    )
    assert (exact - near).norm() < 0.01 * exact.norm()


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_derivative_by_differences_never_leaves_the_path(t):
    x, _, velocity = points()
    seen = []

    def function(x, t):
        seen.append(t)
        return x * t.view(-1, 1, 1, 1)

    found = derivative_along(function, x, torch.full((16,), t), velocity, path=Linear(), how="finite_differences")
    assert torch.cat(seen).min() >= 0
    assert torch.cat(seen).max() <= 1
    torch.testing.assert_close(found, x + t * velocity, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("how", WAYS)
def test_derivative_is_taken_in_full_precision(how):
    layer, (x, t, velocity) = nn.Linear(2, 2), points()

    def function(x, t):
        return layer(x.flatten(1)).view_as(x)

    with torch.autocast("cpu", torch.bfloat16):
        found = derivative_along(function, x, t, velocity, path=Linear(), how=how)
    wanted = (velocity.flatten(1) @ layer.weight.T).view_as(x)
    torch.testing.assert_close(found, wanted, rtol=5e-3, atol=5e-3)
    assert not found.requires_grad


class Undifferentiable(torch.autograd.Function):
    """The identity, with a derivative that runs backwards alone."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, *grad_outputs):
        return grad_outputs[0]


def test_derivative_that_is_not_known_says_what_to_set():
    x, t, velocity = points()
    with pytest.raises(ValueError, match=r"derivative = 'exact', but this network .* Set its derivative to 'finite_diff"):
        derivative_along(lambda x, t: Undifferentiable.apply(x), x, t, velocity, path=Linear(), how="exact")
