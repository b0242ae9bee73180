"""Stages of points in the plane (images of 2 channels and one pixel, or a few) around the toys of `genever.testing`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.runs import RunDirectory
from genever.testing import ToyBackbone, ToySolver, toy_composition
from genever.training import Composition, Stopped, Trainer
from genever.values import DataSpec, Samples
from torch import Tensor


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


class Toy:
    """What the tests of methods start from."""

    @staticmethod
    def gaussian(
        mean: tuple[float, ...] = (2.0, -1.0),
        std: float = 0.5,
        num: int = 4096,
        side: int = 1,
        num_classes: int | None = None,
    ) -> Points:
        noise = torch.randn(num, len(mean), side, side, generator=torch.Generator().manual_seed(1))
        return Points(images=torch.tensor(mean).view(-1, 1, 1) + std * noise, num_classes=num_classes)

    @staticmethod
    def modes(num_modes: int = 4, radius: float = 2.0, std: float = 0.15, num: int = 4096) -> Points:
        """A ring of Gaussians in the plane."""
        generator = torch.Generator().manual_seed(1)
        angle = 2 * math.pi * torch.randint(num_modes, (num,), generator=generator) / num_modes
        centre = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        return Points(images=(centre + std * torch.randn(num, 2, generator=generator))[:, :, None, None])

    @staticmethod
    def compose(**parts: Any) -> Composition:
        """A stage of toys on points, with `parts` in place of some of them. It has no start unless `start` is given."""
        given = {
            "data": Toy.gaussian(),
            "backbone": ToyBackbone(width=32, depth=3),
            "solver": ToySolver(num_steps=16),
            "start": None,
            "steps": 100,
            "batch_size": 64,
        }
        return toy_composition(**{**given, **parts})

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
        trainer = Trainer(composition=Toy.compose(**given), run=run)
        trainer.train()
        return trainer.composition.model.state_dict()  # Each round composes anew.


@pytest.fixture
def toy() -> type[Toy]:
    return Toy
