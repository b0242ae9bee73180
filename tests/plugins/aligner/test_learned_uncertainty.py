from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from genever.testing import take_steps
from genever.training import Monitor
from genever_plugins.aligner.dispersive import Dispersive
from genever_plugins.aligner.learned_uncertainty import LearnedUncertainty, Reweighing, Uncertainty, noise_level
from genever_plugins.aligner.together import Together
from genever_plugins.loss.edm import EDM
from genever_plugins.path.linear import Linear
from genever_plugins.path.ve import VE
from genever_plugins.path.vp_cosine import VPCosine
from genever_plugins.path.vp_linear import VPLinear
from genever_plugins.tuner.lora import LoRA


def composed(toy, aligner, **parts):
    composition = toy.compose(aligner=aligner, batch_size=8, **parts)
    return composition, composition.rounds()[0].start({})


def uncertain(toy, v=None, **parts):
    """The method aligned, with v = `v` at all noise levels. None = as it starts."""
    composition, method = composed(toy, LearnedUncertainty(), **parts)
    if v is not None:
        torch.nn.init.constant_(method.roles["uncertainty"].head.bias, v)
    return composition, method


def gradients(composition, method):
    sum(next(method.updates(composition.feed().at(3), 3)).loss().values()).backward()
    return {name: p.grad for name, p in method.groups()["model"].items()}


def test_uncertainty_takes_the_first_step_of_the_base_method_to_the_bit(toy):
    base, first = gradients(*composed(toy, None)), gradients(*uncertain(toy))
    assert all(torch.equal(first[name], gradient) for name, gradient in base.items())


def test_uncertainty_changes_nothing_of_the_loss_that_is_logged(toy):
    composition, method = uncertain(toy, v=1.5)
    batch = next(composition.feed())
    terms, errors = method.losses(batch, 0), method.errors(method.forward(batch))
    assert torch.equal(terms["loss"], errors.mean())
    assert sum(terms.values()).item() == pytest.approx((errors / torch.tensor(1.5).exp() + 1.5).mean().item(), rel=1e-6)


def test_uncertainty_adds_nothing_at_first(toy):
    composition, method = uncertain(toy)
    assert method.losses(next(composition.feed()), 0)["reweighing"].item() == 0.0


@pytest.mark.parametrize("v", [-2.0, 3.0])
def test_uncertainty_divides_the_gradient_of_the_model_by_its_exponential(toy, v):
    base, weighed = gradients(*composed(toy, None)), gradients(*uncertain(toy, v))
    for name, gradient in base.items():
        torch.testing.assert_close(weighed[name], gradient * torch.tensor(-v).exp(), rtol=1e-4, atol=1e-6)


def test_uncertainty_sends_v_the_derivative_of_its_objective(toy):
    composition, method = uncertain(toy, v=0.5)
    found = gradients(composition, method)["uncertainty.head.bias"].item()
    errors = method.errors(method.forward(next(composition.feed().at(3)), 3))
    assert found == pytest.approx((1 - errors / torch.tensor(0.5).exp()).mean().item(), rel=1e-5)


def test_uncertainty_is_least_at_the_logarithm_of_the_mean_error(toy):
    composition, method = uncertain(toy)
    forward = method.forward(next(composition.feed()))
    times, errors = torch.tensor([0.2, 0.8]).repeat(4), torch.tensor([1.0, 20.0, 2.0, 30.0, 3.0, 50.0, 6.0, 60.0])
    network = method.roles["uncertainty"]
    term = Reweighing(lambda forward: errors, Linear(), network)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        (value,) = term(replace(forward, t=times)).values()
        value.backward()
        return value

    optimizer.step(closure)
    v = network(noise_level(Linear(), times[:2]))
    torch.testing.assert_close(v.exp(), torch.tensor([3.0, 40.0]), rtol=1e-3, atol=0)


def test_uncertainty_learns_what_is_to_be_expected_of_noisy_errors():
    torch.manual_seed(0)
    network, generator = Uncertainty(128), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(400):
        t = torch.rand(256, generator=generator) * 0.98 + 0.01
        expected = 0.01 + t**4
        errors = expected * torch.empty(256).exponential_(generator=generator)
        v = network(noise_level(Linear(), t))
        optimizer.zero_grad()
        (errors / v.exp() + v).mean().backward()
        optimizer.step()
    assert (v - expected.log()).square().mean().sqrt().item() < 0.15


@pytest.mark.parametrize("turned", [False, True])
def test_uncertainty_weighs_the_error_and_not_the_terms_of_others(toy, turned):
    aligners = (LearnedUncertainty(), Dispersive(tap=1))
    composition, method = composed(toy, Together(aligners=aligners[::-1] if turned else aligners))
    torch.nn.init.constant_(method.roles["uncertainty"].head.bias, 2.0)
    batch = next(composition.feed())
    (alone, other), both = (composed(toy, aligner)[1] for aligner in aligners), method.losses(batch, 0)
    torch.nn.init.constant_(alone.roles["uncertainty"].head.bias, 2.0)
    assert both == {**alone.losses(batch, 0), **other.losses(batch, 0)}


def test_uncertainty_sees_the_noise_level_that_edm_tells_its_network():
    t = torch.tensor([0.0, 0.01, 0.3, 0.9, 0.9995, 1.0])
    _, told = EDM(path=Linear()).inputs(torch.zeros(6, 1, 1, 1), t)
    torch.testing.assert_close(noise_level(Linear(), t), told)


@pytest.mark.parametrize("path", [Linear(), VE(), VPCosine(), VPLinear()], ids=lambda path: type(path).__name__)
def test_uncertainty_sees_noise_fall_along_every_path(path):
    level = noise_level(path, torch.linspace(path.start, path.stop, 50))
    assert level.isfinite().all()
    assert (level.diff() <= 0).all()
    assert level[0] > level[-1]


def test_uncertainty_is_computed_in_full_precision_under_autocast():
    network = Uncertainty(16)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
    levels = torch.linspace(-1.5, 1, 9)
    with torch.autocast("cpu", torch.bfloat16):
        inside = network(levels)
    assert torch.equal(inside, network(levels))


def test_uncertainty_learns_with_the_model_from_rates_that_stay(toy):
    composition, method = uncertain(toy)
    before = {name: value.clone() for name, value in method.roles["uncertainty"].state_dict().items()}
    take_steps(method, composition)
    changed = {
        name for name, value in method.roles["uncertainty"].state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"head.weight", "head.bias"}
    assert set(method.groups()) == {"model"}
    assert method.frozen == frozenset()


def test_uncertainty_starts_from_the_seed_alone(toy):
    first = uncertain(toy)[1].roles["uncertainty"].state_dict()
    torch.manual_seed(5)
    again = uncertain(toy)[1].roles["uncertainty"].state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_uncertainty_leaves_the_validation_loss_plain(toy, tmp_path):
    found = []
    for composition, method in (composed(toy, None), uncertain(toy, v=2.0)):
        monitor = Monitor(
            composition=composition,
            model=method.roles["model"],
            averages=SimpleNamespace(copies={}),
            solver=composition.solver,
            guidance=None,
            samples=tmp_path,
        )
        found.append(monitor.validation())
    assert found[0] == found[1]


def test_uncertainty_of_an_adapter_stopped_and_resumed_ends_with_the_same_bits(toy, tmp_path):
    parts = {"aligner": LearnedUncertainty(), "tuner": LoRA(rank=2)}
    whole, resumed = toy.trained(tmp_path, **parts), toy.trained(tmp_path, stop=2, **parts)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
