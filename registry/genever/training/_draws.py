"""Randomness as a function of (seed, step, call, name, place in the global batch), never of a history."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Draws", "derived_seed", "normal_of_numbers"]


def derived_seed(*key: int | str) -> int:
    """A seed in [0, 2^63) that follows from a key and from nothing else; it stays the same across versions of Python."""
    assert not any("/" in str(part) for part in key), f"two keys could be one: {key}"
    digest = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(frozen=True)
class Draws:
    """The luck of one batch.

    Every draw has a name, so a part that draws more or less leaves the others' luck alone. Numbers are drawn for the
    whole global batch and cut to the rows of this batch: a sample's noise does not depend on how many processes there
    are or how the batch was split.

    Args:
        key: what the luck follows from: (seed, step, call).
        rows: this batch's places in the global batch.
        total: samples of the global batch.
    """

    key: tuple[int, ...]
    rows: slice
    total: int
    device: torch.device

    def generator(self, name: str) -> torch.Generator:
        """A generator for what is not per sample. Asking again for the same name gives the same numbers again."""
        return torch.Generator(self.device).manual_seed(derived_seed(*self.key, name))

    def each(self, name: str, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """`draw(num, generator)` for the global batch, cut to this batch's rows."""
        return draw(self.total, self.generator(name))[self.rows]

    def normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Standard normal float32 [batch, *shape]."""
        return self.each(name, lambda num, generator: torch.randn((num, *shape), generator=generator, device=self.device))

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform in [0, 1), float32 [batch, *shape]."""
        return self.each(name, lambda num, generator: torch.rand((num, *shape), generator=generator, device=self.device))

    def integers(self, name: str, high: int, shape: tuple[int, ...] = ()) -> Tensor:
        """Uniform in 0 .. high - 1, int64 [batch, *shape]."""
        return self.each(
            name, lambda num, generator: torch.randint(high, (num, *shape), generator=generator, device=self.device)
        )


def normal_of_numbers(seed: int, numbers: Sequence[int], name: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal float32 [batch, *shape] of samples that are known by their numbers, whatever their batch.

    It is drawn in blocks, so that many are cheap.
    """
    block = 256
    drawn = {b: Draws((seed, b), slice(None), block, device).normal(name, shape) for b in {n // block for n in numbers}}
    return torch.stack([drawn[number // block][number % block] for number in numbers])
