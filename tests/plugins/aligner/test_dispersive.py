from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from genever.testing import take_steps
from genever.training import World
from genever_plugins.aligner.dispersive import Dispersion, Dispersive, log_mean_closeness
from torch import Tensor


def composed(toy, aligner, **parts):
    composition = toy.compose(data=toy.gaussian(side=2), aligner=aligner, **{"batch_size": 8, **parts})
    return composition, composition.rounds()[0].start({})


def drawn(num=6, dims=20):
    return torch.randn(num, dims, generator=torch.Generator().manual_seed(0))


def by_hand(z, tau):
    """Every pair of samples, one at a time."""
    z = z.detach().flatten(1).double().numpy()
    pairs = [np.exp(-np.square(one - other).mean() / tau) for one in z for other in z]
    return math.log(sum(pairs) / len(pairs))


@pytest.mark.parametrize("tau", [0.25, 1.0])
def test_dispersive_term_is_the_logarithm_of_the_mean_over_all_pairs(toy, tau):
    composition, method = composed(toy, Dispersive(tap=2, weight=0.7, tau=tau))
    batch = next(composition.feed())
    features = method.forward(batch, taps=(2,)).features[0]
    assert method.losses(batch, 0)["dispersion"].item() == pytest.approx(0.7 * by_hand(features, tau), abs=1e-6)


def test_dispersive_term_goes_from_nothing_to_the_logarithm_of_the_number_of_samples():
    assert log_mean_closeness(torch.ones(5, 3), 0.5) == 0
    assert log_mean_closeness(1e4 * drawn(5), 0.5).item() == pytest.approx(-math.log(5))


def test_dispersive_term_of_two_samples_has_the_gradient_of_its_closed_form():
    z = drawn(2).requires_grad_()
    log_mean_closeness(z, 0.5).backward()
    apart = z[0] - z[1]
    close = (-apart.square().mean() / 0.5).exp()  # log((1 + close) / 2)
    expected = -close / (1 + close) * 2 * apart / (20 * 0.5)
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.stack([expected, -expected]).detach())


def test_dispersive_gradient_is_finite_where_samples_coincide():
    z = drawn(1).repeat(4, 1).requires_grad_()
    log_mean_closeness(z, 0.5).backward()
    assert z.grad is not None
    assert not z.grad.any()


@dataclass(frozen=True, kw_only=True)
class OneOfTwo(World):
    """A process that is told what the other one has."""

    other: Tensor

    def gather(self, rows: Tensor) -> list[Tensor]:
        return [rows, self.other] if self.rank == 0 else [self.other, rows]


def test_dispersive_gradients_of_two_processes_average_to_that_of_one(toy):
    composition, method = composed(toy, None)
    forward = method.forward(next(composition.feed()))
    whole = drawn(8).unflatten(1, (4, 5)).requires_grad_()
    dispersion = Dispersion(Dispersive(tap=1), World())
    expected = dispersion(replace(forward, features=(whole,)))["dispersion"]
    expected.backward()
    for rank, (own, other) in enumerate(((whole[:4], whole[4:]), (whole[4:], whole[:4]))):
        mine = own.detach().requires_grad_()
        world = OneOfTwo(rank=rank, size=2, other=other.detach().flatten(1))
        found = Dispersion(Dispersive(tap=1), world)(replace(forward, features=(mine,)))["dispersion"]
        found.backward()
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(mine.grad / 2, whole.grad[4 * rank : 4 * rank + 4])


def test_dispersive_brings_no_network_along(toy):
    _, method = composed(toy, Dispersive(tap=2))
    assert set(method.roles) == {"model"}
    assert method.groups()["model"].keys() == method.learns.keys()


def test_dispersive_training_drives_features_apart(toy):
    composition, method = composed(toy, Dispersive(tap=2, weight=1.0))
    seen = take_steps(method, composition, 60, rate=3e-3)["model/dispersion"]
    assert seen[-1] < seen[0] - 0.3


@pytest.mark.parametrize("size", [1, 4])
def test_dispersive_refuses_micro_batches_of_one_sample(toy, size):
    with pytest.raises(ValueError, match=rf"train\.batch_size = {size} in train\.accumulate = {size} parts leaves one in"):
        composed(toy, Dispersive(tap=1), batch_size=size, accumulate=size)
