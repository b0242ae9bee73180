"""Data as a function: which samples step k sees follows from (seed, k) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from genever.slots import CodecModule, ConditionerModule, ImageConditionerModule
from genever.training._ahead import Ahead
from genever.training._draws import Draws, derived_seed
from genever.training._method import Update
from genever.training._world import World
from genever.values import Samples

__all__ = ["Batch", "Feed", "indices_at"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples ready for training, and their luck.

    Args:
        x_1: latents.
        images: the same samples in pixels, in [-1, 1], for encoders and rewards.
        cond: integers from the conditioner, with nothing dropped.
        null: the same, everything dropped.
        dropout: the share of `cond` that `training_cond` drops.
        step: the training step, counted over all rounds.
    """

    x_1: Tensor
    images: Tensor
    cond: Tensor
    null: Tensor
    samples: Samples
    draws: Draws
    dropout: float
    step: int

    def __len__(self) -> int:
        return len(self.x_1)

    def noise(self, name: str = "noise") -> Tensor:
        """x_0: standard normal, shaped as x_1."""
        return self.draws.normal(name, tuple(self.x_1.shape[1:]))

    def training_cond(self) -> Tensor:
        """`cond` with the conditioner's share of samples nulled: the same samples whenever this is called."""
        if not self.dropout:
            return self.cond
        dropped = self.draws.uniform("condition dropout") < self.dropout
        return torch.where(dropped.view(-1, *[1] * (self.cond.ndim - 1)), self.null, self.cond)


def indices_at(num_samples: int, seed: int, stream: int, start: int, stop: int) -> list[int]:
    """Positions start .. stop - 1 of an endless row of shuffled epochs, each without repetition."""
    found: list[int] = []
    while start < stop:
        epoch, offset = divmod(start, num_samples)
        num = min(stop - start, num_samples - offset)
        found += _epoch_order(num_samples, seed, stream, epoch)[offset : offset + num].tolist()
        start += num
    return found


_orders: dict[tuple[int, int, int], dict[int, Tensor]] = {}


def _epoch_order(num_samples: int, seed: int, stream: int, epoch: int) -> Tensor:
    """Of each stream the two newest are kept: a step may reach into the next epoch, and a method may read many streams."""
    kept = _orders.setdefault((num_samples, seed, stream), {})
    if epoch not in kept:
        if len(kept) >= 2:
            kept.pop(next(iter(kept)))
        generator = torch.Generator().manual_seed(derived_seed(seed, "order", stream, epoch))
        kept[epoch] = torch.randperm(num_samples, generator=generator)
    return kept[epoch]


@dataclass
class Feed:
    """Batches of one step: `next(feed)` gives micro-batch after micro-batch, `accumulate` of them one global batch.

    Call number c of a step reads stream c // accumulate, a shuffled order of its own, so that a method may ask for as many
    global batches in a step as it likes and each is still a function of (seed, step).

    Args:
        batch_size: samples of a global batch.
        accumulate: micro-batches that a global batch is split into.
        world: the processes among which each micro-batch is split once more.
    """

    samples: Ahead
    codec: CodecModule
    conditioner: ConditionerModule
    batch_size: int
    accumulate: int
    seed: int
    dropout: float
    device: torch.device
    world: World = field(default_factory=World)
    step: int = 0
    _calls: int = 0

    def at(self, step: int) -> Feed:
        """The feed of one step, counted over all rounds."""
        return replace(self, step=step, _calls=0)

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> Batch:
        stream, part = divmod(self._calls, self.accumulate)
        self._calls += 1
        rows = self._rows(part)
        indices = self._indices(self.step, stream, rows)
        draws = Draws((self.seed, self.step, stream), rows, self.batch_size, self.device)
        batch = self.batch(indices, draws)
        for ahead in range(1, self.samples.num_steps + 1):
            self.samples.expect(self._indices(self.step + ahead, stream, rows), self._calls)
        return batch

    def _rows(self, part: int) -> slice:
        """This process's places in the global batch."""
        size = self.batch_size // (self.accumulate * self.world.size)
        first = (part * self.world.size + self.world.rank) * size
        return slice(first, first + size)

    def _indices(self, step: int, stream: int, rows: slice) -> list[int]:
        first, num = step * self.batch_size, len(self.samples.dataset)
        return indices_at(num, self.seed, stream, first + rows.start, first + rows.stop)

    def batch(self, indices: Sequence[int], draws: Draws) -> Batch:
        """Chosen samples with chosen luck."""
        samples = self.samples.fetch(indices)
        images = self._moved(samples.images)
        latent = self.codec.latent
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            x_1 = self.codec.encode(images, draws.normal("posterior", latent.shape))
        cond = self._moved(self.conditioner.prepare(samples))
        if isinstance(self.conditioner, ImageConditionerModule):
            cond = self.conditioner.augment(cond, draws)
        return Batch(
            x_1=x_1,
            images=images,
            cond=cond,
            null=self.conditioner.null(cond),
            samples=samples,
            draws=draws,
            dropout=self.dropout,
            step=self.step,
        )

    def _moved(self, tensor: Tensor) -> Tensor:
        """On the device. Only out of pinned memory a copy starts without waiting for what the device is doing."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" else tensor
        return pinned.to(self.device, non_blocking=True)

    def updates(self, loss: Callable[[Batch], Mapping[str, Tensor]], group: str = "model") -> Iterator[Update]:
        """One optimizer step of `group` over one global batch: an Update for each of its micro-batches."""
        for part in range(self.accumulate):
            batch = next(self)
            yield Update(lambda batch=batch: loss(batch), group, step=part == self.accumulate - 1, scale=1 / self.accumulate)
