"""A toy stage for methods: points in the plane (images of 2 channels and 1 pixel, or a few), an MLP, a bare trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.runs import RunDirectory
from genever.training import Composition, Method, Stage, Stopped, Trainer, compose
from genever.values import ConditionSpec, DataSpec, LatentSpec, Samples
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Points:
    """Fixed images and, where `num_classes` says so, labels."""

    images: Tensor
    num_classes: int | None = None

    @property
    def spec(self) -> DataSpec:
        _, channels, height, width = self.images.shape
        return DataSpec(channels=channels, height=height, width=width, num_classes=self.num_classes)

    def build(self, split: str) -> Points:
        return self

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: Sequence[int]) -> Samples:
        labels = None if self.num_classes is None else torch.tensor(indices) % self.num_classes
        return Samples(images=self.images[list(indices)], labels=labels)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, width), "fc2": nn.Linear(width, width)})

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp["fc2"](nn.functional.silu(self.mlp["fc1"](x)))


class Net(nn.Module):
    """`genever.slots.Network`: residual blocks on each pixel by itself."""

    def __init__(self, latent: LatentSpec, condition: ConditionSpec, width: int, depth: int) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = depth, width
        self.feature_grid = (latent.height, latent.width)
        self.register_buffer("frequencies", 2.0 ** torch.arange(4) * math.pi / 2)
        self.first = nn.Linear(latent.channels + 9, width)
        self.classes = nn.Embedding(condition.num_classes + 1, width) if condition.num_classes else None
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.last = nn.Linear(width, latent.channels)

    def forward(
        self, x: Tensor, t: Tensor, condition: Any, *, taps: Sequence[int] = ()
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        waves = t[:, None] * self.frequencies
        times = torch.cat([t[:, None], waves.sin(), waves.cos()], dim=1)
        tokens = x.flatten(2).transpose(1, 2)
        hidden = self.first(torch.cat([tokens, times[:, None].expand(-1, tokens.shape[1], -1)], dim=2))
        if self.classes is not None:
            hidden = hidden + self.classes(condition.classes)[:, None]
        outputs = {}
        for number, block in enumerate(self.blocks, start=1):
            hidden = outputs[number] = block(hidden)
        return self.last(hidden).transpose(1, 2).reshape(x.shape), tuple(outputs[tap] for tap in taps)


@dataclass(frozen=True, kw_only=True)
class MLP:
    width: int = 32
    depth: int = 3

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return Net(latent, condition, self.width, self.depth)


@dataclass(frozen=True, kw_only=True)
class Same:
    """A start that leaves the fresh weights as they are."""

    name: str = "fresh"

    def load(self, model: nn.Module) -> None: ...


class Toy:
    """What the tests of methods start from."""

    MLP = MLP

    @staticmethod
    def gaussian(mean: tuple[float, ...] = (2.0, -1.0), std: float = 0.5, num: int = 4096, side: int = 1) -> Points:
        noise = torch.randn(num, len(mean), side, side, generator=torch.Generator().manual_seed(1))
        return Points(images=torch.tensor(mean).view(-1, 1, 1) + std * noise)

    @staticmethod
    def modes(num_modes: int = 4, radius: float = 2.0, std: float = 0.15, num: int = 4096) -> Points:
        """A ring of Gaussians in the plane."""
        generator = torch.Generator().manual_seed(1)
        angle = 2 * math.pi * torch.randint(num_modes, (num,), generator=generator) / num_modes
        centre = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        return Points(images=(centre + std * torch.randn(num, 2, generator=generator))[:, :, None, None])

    @staticmethod
    def labelled(points: Points, num_classes: int) -> Points:
        return replace(points, num_classes=num_classes)

    @staticmethod
    def compose(**parts: Any) -> Composition:
        """A stage of stand-ins, with `parts` in place of some of them."""
        from genever_plugins.codec.pixels import Pixels
        from genever_plugins.conditioner.unconditional import Unconditional
        from genever_plugins.loss.flow_matching import FlowMatching
        from genever_plugins.sampler.uniform import Uniform
        from genever_plugins.solver.euler import Euler
        from genever_plugins.tuner.full import Full

        given = {
            "data": Toy.gaussian(),
            "loss": FlowMatching(),
            "sampler": Uniform(),
            "backbone": MLP(),
            "conditioner": Unconditional(),
            "codec": Pixels(),
            "tuner": Full(),
            "optimizer": None,
            "solver": Euler(num_steps=16),
            "steps": 100,
            "batch_size": 64,
        }
        return compose(
            Stage(**{**given, **parts}),
            device=torch.device("cpu"),
            start=Same() if parts.get("start") else None,
        )

    @staticmethod
    def train(
        composition: Composition,
        method: Method,
        steps: int,
        *,
        rate: float = 1e-3,
        rates: Mapping[str, float] | None = None,
        first: int = 0,
        after: Callable[[int], None] = lambda step: None,
    ) -> dict[str, list[float]]:
        """What the trainer does, with plain Adam. Returns every term and report by 'group/name'."""
        groups, seen = method.groups(), dict[str, list[float]]()
        everything = [p for module in method.roles.values() for p in module.parameters()]
        learners = {
            name: torch.optim.Adam(group.values(), lr=(rates or {}).get(name, rate)) for name, group in groups.items()
        }
        for step in range(first, first + steps):
            for update in method.updates(composition.feed().at(step), step):
                learning = {id(p) for p in groups[update.group].values()}
                for parameter in everything:
                    parameter.requires_grad_(id(parameter) in learning)
                terms = update.loss()
                (torch.stack(list(terms.values())).sum() * update.scale).backward()
                for name, value in {**terms, **(update.report() if update.report else {})}.items():
                    seen.setdefault(f"{update.group}/{name}", []).append(float(value.detach()))
                if update.step:
                    learners[update.group].step()
                    learners[update.group].zero_grad()
                    method.after(update.group, step)
            after(step)
        return seen

    @staticmethod
    def trained(folder: Path, *, stop: int | None = None, **parts: Any) -> dict[str, Tensor]:
        """The model's weights after the real trainer; stopped after `stop` steps and resumed, if a number is given."""
        from genever_plugins.average.constant import Constant
        from genever_plugins.optimizer.adamw import AdamW

        quiet = {"sample_images": 0, "validate_samples": 0, "averages": {"ema": Constant()}}
        run = RunDirectory.create(folder, "toy", "0" * 8, {})
        given = {"optimizer": AdamW(lr=1e-3), "steps": 4, "batch_size": 32, **quiet, **parts}
        if stop is not None:
            asked = iter(range(1, stop + 1))
            first = Trainer(composition=Toy.compose(**given), run=run, should_stop=lambda: next(asked) == stop)
            with pytest.raises(Stopped):
                first.train()
        composition = Toy.compose(**given)
        Trainer(composition=composition, run=run).train()
        return composition.model.state_dict()


@pytest.fixture
def toy() -> type[Toy]:
    return Toy
