"""A whole stage of toys, and two steps of training on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from genever.slots import CodecModule
from genever.testing import _toy_parts as toys
from genever.training import Composition, Method, Runs, Stage, compose

__all__ = ["take_steps", "toy_composition", "toy_stage"]


def toy_stage(**parts: Any) -> Stage:
    """A stage of toys, with `parts` in place of some of them."""
    defaults = {
        "data": toys.ToyData(),
        "loss": toys.ToyLoss(),
        "sampler": toys.ToySampler(),
        "backbone": toys.ToyBackbone(),
        "conditioner": toys.ToyConditioner(),
        "codec": toys.ToyCodec(),
        "tuner": toys.ToyTuner(),
        "optimizer": toys.ToyOptimizer(),
        "solver": toys.ToySolver(),
        "steps": 2,
        "batch_size": 8,
    }
    return Stage(**{**defaults, **parts})


def toy_composition(*, runs: Runs | None = None, device: str = "cpu", **parts: Any) -> Composition:
    """The networks of a stage of toys. A stage with a distiller starts from a run whose weights are random.

    Args:
        runs: opens the runs that parts name. None = there are none.
        device: 'meta' = without memory.
    """
    if "distiller" in parts:
        parts = {"start": "toy", **parts}
    start = _RandomStart() if parts.get("start") else None
    return compose(toy_stage(**parts), device=torch.device(device), start=start, runs=runs)


class _RandomStart:
    """`genever.execution.Start` of a run that left fresh weights."""

    name = "toy"

    def load(self, stage: Stage, model: nn.Module, codec: CodecModule) -> None: ...


def take_steps(
    method: Method, composition: Composition, num_steps: int = 2, *, rate: float | Mapping[str, float] = 1e-2
) -> dict[str, list[float]]:
    """Trains as the trainer does, with plain Adam. Returns each term of each update, by 'group/term'.

    Args:
        rate: of learning; of each group by its name, or one for all.
    """
    groups, seen = method.groups(), dict[str, list[float]]()
    everything = [p for module in method.roles.values() for p in module.parameters()]
    rates = rate if isinstance(rate, Mapping) else dict.fromkeys(groups, rate)
    optimizers = {name: torch.optim.Adam(list(group.values()), lr=rates[name]) for name, group in groups.items()}
    for step in range(num_steps):
        for update in method.updates(composition.feed().at(step), step):
            learning = {id(parameter) for parameter in groups[update.group].values()}
            for parameter in everything:
                parameter.requires_grad_(id(parameter) in learning)
            terms = update.loss()
            (torch.stack(list(terms.values())).sum() * update.scale).backward()
            for name, value in {**terms, **(update.report() if update.report else {})}.items():
                seen.setdefault(f"{update.group}/{name}", []).append(float(value.detach()))
            if update.step:
                optimizers[update.group].step()
                optimizers[update.group].zero_grad()
                method.after(update.group, step)
    return seen
