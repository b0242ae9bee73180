"""Optimizers."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyBackbone
from genever.training import build_seeded
from genever.values import Condition, ConditionSpec, LatentSpec


def every_parameter_has_one_optimizer(case: Case) -> None:
    network = _network()
    optimizers = case.part().build(dict(network.named_parameters()))
    held = [id(p) for one in optimizers for group in one.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def error_falls(case: Case) -> None:
    network = _network()
    optimizers = case.part().build(dict(network.named_parameters()))
    errors = [_step(network, optimizers) for _ in range(30)]
    assert errors[-1] < errors[0]


def nothing_is_drawn(case: Case) -> None:
    with global_luck_untouched():
        _trained(case, 3)


def steps_are_the_same_bits_again(case: Case) -> None:
    first, second = _trained(case, 3).state_dict(), _trained(case, 3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def state_survives_a_round_trip(case: Case) -> None:
    wanted = _trained(case, 4).state_dict()
    network = _network()
    optimizers = case.part().build(dict(network.named_parameters()))
    for _ in range(2):
        _step(network, optimizers)
    states = copy.deepcopy([one.state_dict() for one in optimizers])
    resumed = _network()
    resumed.load_state_dict(network.state_dict())
    optimizers = case.part().build(dict(resumed.named_parameters()))
    for one, state in zip(optimizers, states, strict=True):
        one.load_state_dict(state)
    for _ in range(2):
        _step(resumed, optimizers)
    found = resumed.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted), "A resumed optimizer takes other steps."


def schedule_is_none_or_callable(case: Case) -> None:
    schedule = case.part().schedule
    assert schedule is None or schedule(0, 10) >= 0


def _network() -> nn.Module:
    latent, condition = LatentSpec(channels=2, height=4, width=4), ConditionSpec(num_classes=3)
    return build_seeded(0, "backbone", torch.device("cpu"), lambda: ToyBackbone().build(latent, condition))


def _trained(case: Case, num_steps: int) -> nn.Module:
    network = _network()
    optimizers = case.part().build(dict(network.named_parameters()))
    for _ in range(num_steps):
        _step(network, optimizers)
    return network


def _step(network: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> float:
    x: Tensor = torch.randn(8, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    output, _ = network(x, torch.linspace(0, 1, 8), Condition(classes=torch.arange(8) % 3))
    error = (output - x.flip(1) - 1).square().mean()
    network.zero_grad()
    error.backward()
    for optimizer in optimizers:
        optimizer.step()
    return float(error.detach())
