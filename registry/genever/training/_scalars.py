"""Means of scalars between two log points, kept on the device until then."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genever.training._world import World

__all__ = ["Scalars"]


class Scalars:
    """Adds up scalars by 'group/name'; nothing waits for the device until `take`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, group: str, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            key = f"{group}/{name}"
            value = value.detach().float()
            self.sums[key] = self.sums[key] + value if key in self.sums else value
            self.counts[key] = self.counts.get(key, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last time, over all processes, in one transfer."""
        if not self.sums:
            return {}
        values = self.world.mean(torch.stack(list(self.sums.values()))).tolist()
        means = {key: value / self.counts[key] for key, value in zip(self.sums, values, strict=True)}
        self.sums, self.counts = {}, {}
        return means
