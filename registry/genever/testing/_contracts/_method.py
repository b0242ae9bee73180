"""What a method does in two steps of a toy stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from genever.runs import RunDirectory
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyAverage
from genever.testing._toy_stage import take_steps
from genever.training import Composition, Method, Round, Stopped, Trainer

__all__ = [
    "Built",
    "begun",
    "check_groups",
    "check_luck",
    "check_meta",
    "check_repeats",
    "check_resume",
    "check_state",
    "check_steps",
]

#: Builds a method anew, with the composition that it belongs to.
Built = Callable[[], tuple[Method, Composition]]

#: Of every round of a run that is stopped within it.
_STEPS = 3


def begun(one: Round, roles: Mapping[str, nn.Module]) -> Method:
    """The method of a round, as its first step finds it."""
    method = one.start(roles)
    if one.prepare is not None:
        one.prepare(method)
    return method


def check_groups(build: Built) -> None:
    """Every group learns parameters of its roles, and no parameter twice."""
    method, _ = build()
    known = {id(p) for role in method.roles.values() for p in role.parameters()}
    learning = [id(p) for group in method.groups().values() for p in group.values()]
    assert "model" in method.roles, "The method has no role 'model'."
    assert method.frozen <= set(method.roles), "A frozen role is no role."
    assert learning, "Nothing learns."
    assert set(learning) <= known, "A parameter that learns is in no role: no checkpoint would hold it."
    assert len(learning) == len(set(learning)), "A parameter is in two groups."


def check_meta(build: Callable[..., Composition]) -> None:
    """Without memory, as a stage is built before it is queued, the same learns.

    Args:
        build: a composition anew, on this device.
    """
    found, wanted = (
        {group: {name: p.shape for name, p in learns.items()} for group, learns in method.groups().items()}
        for method in (build(device=device).rounds()[0].start({}) for device in ("meta", "cpu"))
    )
    assert found == wanted


def check_steps(build: Built) -> None:
    """Two steps: terms are finite, every group learns, frozen roles stay."""
    method, composition = build()
    before = {role: _weights(module) for role, module in method.roles.items()}
    groups = {name: {key: p.detach().clone() for key, p in group.items()} for name, group in method.groups().items()}
    for name, values in take_steps(method, composition).items():
        assert all(map(math.isfinite, values)), f"{name} is not finite: {values}."
    for role in method.frozen:
        assert _same(before[role], _weights(method.roles[role])), f"The frozen role {role!r} has changed."
    for name, group in method.groups().items():
        assert not _same(groups[name], dict(group)), f"The group {name!r} learns nothing."


def check_repeats(build: Built) -> None:
    """The same stage takes the same steps, to the bit."""
    first, second = (take_steps(*build()) for _ in range(2))
    assert first == second


def check_luck(build: Built) -> None:
    """No step draws from a global generator."""
    method, composition = build()
    with global_luck_untouched():
        take_steps(method, composition)


def check_state(build: Built) -> None:
    """The state is plain, and a fresh method takes it."""
    method, composition = build()
    take_steps(method, composition)
    state = method.state_dict()
    _assert_plain(state, "state_dict()")
    fresh, _ = build()
    fresh.load_state_dict(state)
    assert _is_same(fresh.state_dict(), state), f"After {state} was loaded, the state is {fresh.state_dict()}."


def check_resume(build: Callable[..., Composition], folder: Path) -> None:
    """A run that was stopped within its second round, or its only one, ends with the same bits as one that was not.

    Args:
        build: a composition anew, with these values of its stage.
        folder: an empty one.
    """
    rounds = len(_trained(build, whole := RunDirectory.create(folder, "whole", "0" * 8, {})).rounds())
    stopped = RunDirectory.create(folder, "stopped", "0" * 8, {})
    with pytest.raises(Stopped):
        _trained(build, stopped, stop=_STEPS * (min(rounds, 2) - 1) + 2)
    _trained(build, stopped)
    wanted, found = (_saved(run.checkpoint(_STEPS * rounds)) for run in (whole, stopped))
    assert found.keys() == wanted.keys()
    differing = [name for name, tensor in wanted.items() if not torch.equal(found[name], tensor)]
    assert not differing, f"Where it was resumed there are other values in {differing[:3]}."


def _trained(build: Callable[..., Composition], run: RunDirectory, stop: int | None = None) -> Composition:
    """Trains until the end, or until `stop` steps were taken."""
    composition = build(steps=_STEPS, averages={"toy": ToyAverage()}, sample_images=0, validate_samples=0)
    asked = iter(range(1, _STEPS * len(composition.rounds()) + 1))
    Trainer(composition=composition, run=run, should_stop=lambda: next(asked) == stop).train()
    return composition


def _saved(checkpoint: Path) -> dict[str, Tensor]:
    """Every weight, average and optimizer's tensor that is not the same all along a round."""
    return {name: tensor for file in checkpoint.glob("*.safetensors") for name, tensor in load_file(file).items()}


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in module.state_dict().items()}


def _same(before: dict[str, Tensor], after: dict[str, Tensor]) -> bool:
    return all(torch.equal(before[name], after[name]) for name in before)


def _is_same(one: object, other: object) -> bool:
    """Whether two plain states are alike, to the bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return one == other


def _assert_plain(state: object, where: str) -> None:
    if isinstance(state, dict):
        for key, value in state.items():
            assert isinstance(key, str), f"{where} has the key {key!r}, which is not a string."
            _assert_plain(value, f"{where}[{key!r}]")
    elif isinstance(state, list | tuple):
        for place, value in enumerate(state):
            _assert_plain(value, f"{where}[{place}]")
    else:
        assert state is None or isinstance(state, Tensor | int | float | str | bool), f"{where} is {state!r}."
