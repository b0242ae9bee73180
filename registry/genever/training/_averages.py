"""Moving averages of a model's learning weights, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from genever.slots import Average

__all__ = ["Averages"]


class Averages:
    """Keeps each average's float32 copy of the parameters that learn, and lends it to the model.

    Args:
        parts: the averages by name.
        parameters: what is averaged, by 'role.name'.
    """

    def __init__(self, parts: Mapping[str, Average], parameters: Mapping[str, nn.Parameter]) -> None:
        self.parts = parts
        self.parameters = parameters
        self.copies: dict[str, dict[str, Tensor]] = {
            name: {key: p.detach().clone().float() for key, p in parameters.items()} for name in parts
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """average <- decay * average + (1 - decay) * weights, after step `step` of this round."""
        weights: list[Tensor] = [p.detach() for p in self.parameters.values()]
        for name, part in self.parts.items():
            copies = list(self.copies[name].values())
            torch._foreach_lerp_(copies, weights, 1.0 - part.decay_at(step))  # pyright: ignore[reportPrivateImportUsage]

    @contextmanager
    def lent(self, name: str) -> Iterator[None]:
        """The model holds an average's weights while this is open."""
        self._swap(name)
        try:
            yield
        finally:
            self._swap(name)

    @torch.no_grad()
    def _swap(self, name: str) -> None:
        for key, parameter in self.parameters.items():
            weights = parameter.detach().clone()
            parameter.copy_(self.copies[name][key])
            self.copies[name][key].copy_(weights)
