"""Data as a function: which samples step k sees follows from (seed, k) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from genever.slots import CodecModule, ConditionerModule, Dataset, Guidance, ImageConditionerModule, Loss, PlannedDataset
from genever.training._ahead import Ahead
from genever.training._denoiser import Field
from genever.training._draws import Draws, derived_seed
from genever.training._method import Update
from genever.training._world import World
from genever.values import LatentSpec, Samples

__all__ = ["Batch", "Feed", "indices_at", "planned_indices"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples ready for training, and their luck.

    Args:
        x_1: latents.
        images: the same samples in pixels, in [-1, 1], for encoders and rewards.
        cond: integers from the conditioner, with nothing dropped as a feed makes them.
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

    @property
    def latent(self) -> LatentSpec:
        """The space of these latents: not every batch's need be of one size."""
        channels, height, width = self.x_1.shape[1:]
        return LatentSpec(channels=channels, height=height, width=width)

    def noise(self, name: str = "noise") -> Tensor:
        """x_0: standard normal, shaped as x_1."""
        return self.draws.normal(name, tuple(self.x_1.shape[1:]))

    def training_cond(self) -> Tensor:
        """`cond` with the conditioner's share of samples nulled: the same samples whenever this is called."""
        if not self.dropout:
            return self.cond
        dropped = self.draws.uniform("condition dropout") < self.dropout
        return torch.where(dropped.view(-1, *[1] * (self.cond.ndim - 1)), self.null, self.cond)

    def field(self, model: nn.Module, loss: Loss, guidance: Guidance | None = None) -> Field:
        """A model's vector field under `cond`. Without guidance it is the conditional one."""
        return Field(model, loss, self.cond, guidance=guidance, null=self.null, samples=self.samples)


def indices_at(num_samples: int, seed: int, stream: int, start: int, stop: int) -> list[int]:
    """Positions start .. stop - 1 of an endless row of shuffled epochs, each without repetition."""
    found: list[int] = []
    while start < stop:
        epoch, offset = divmod(start, num_samples)
        num = min(stop - start, num_samples - offset)
        found += _epoch_order(num_samples, seed, stream, epoch)[offset : offset + num].tolist()
        start += num
    return found


def planned_indices(
    dataset: Dataset, step: int, *, num_steps: int, batch_size: int, seed: int, stream: int
) -> Sequence[int]:
    """What a step's global batch holds: what the dataset plans, or the next ones of its shuffled epochs.

    Args: those of `genever.slots.PlannedDataset.plan`.
    """
    if isinstance(dataset, PlannedDataset):
        return dataset.plan(step, num_steps=num_steps, batch_size=batch_size, seed=seed, stream=stream)
    return indices_at(len(dataset), seed, stream, step * batch_size, (step + 1) * batch_size)


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
    global batches in a step as it likes and each is still a function of (seed, step). A dataset that plans says itself what
    a global batch holds.

    Args:
        batch_size: samples of a global batch, unless the dataset plans another number.
        accumulate: micro-batches that a global batch is split into.
        num_steps: of the whole training, over all rounds.
        world: the processes among which each micro-batch is split once more.
    """

    samples: Ahead
    codec: CodecModule
    conditioner: ConditionerModule
    batch_size: int
    accumulate: int
    num_steps: int
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
        indices = self.indices(self.step, stream)
        rows = self._rows(len(indices), part)
        draws = Draws((self.seed, self.step, stream), rows, len(indices), self.device)
        batch = self.batch(indices[rows], draws)
        for ahead in range(1, self.samples.num_steps + 1):
            later = self.indices(self.step + ahead, stream)
            self.samples.expect(later[self._rows(len(later), part)], self._calls)
        return batch

    def indices(self, step: int, stream: int = 0) -> Sequence[int]:
        """What a global batch of a step holds, in the order of its places."""
        return planned_indices(
            self.samples.dataset,
            step,
            num_steps=self.num_steps,
            batch_size=self.batch_size,
            seed=self.seed,
            stream=stream,
        )

    def _rows(self, total: int, part: int) -> slice:
        """This process's places in a global batch of `total`."""
        size, left_over = divmod(total, self.accumulate * self.world.size)
        if left_over:
            raise ValueError(
                f"the data plans {total} samples where {self.batch_size} were asked for, which {self.accumulate} parts on "
                f"{self.world.size} processes do not divide. Choose another train.batch_size or train.accumulate."
            )
        first = (part * self.world.size + self.world.rank) * size
        return slice(first, first + size)

    def batch(self, indices: Sequence[int], draws: Draws) -> Batch:
        """Chosen samples with chosen luck."""
        samples = self.samples.fetch(indices)
        images = self._moved(samples.images)
        latent = self._latent(images)
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

    def _latent(self, images: Tensor) -> LatentSpec:
        """The space of these images' latents, in proportion to that of the images that the codec was built for."""
        dataset, latent = self.samples.dataset, self.codec.latent
        if not isinstance(dataset, PlannedDataset):
            return latent
        height, width = (latent.height * images.shape[-2], latent.width * images.shape[-1])
        return replace(latent, height=height // dataset.spec.height, width=width // dataset.spec.width)

    def _moved(self, tensor: Tensor) -> Tensor:
        """On the device. Only out of pinned memory a copy starts without waiting for what the device is doing."""
        pinned = tensor.pin_memory() if self.device.type == "cuda" else tensor
        return pinned.to(self.device, non_blocking=True)

    def updates(self, loss: Callable[[Batch], Mapping[str, Tensor]], group: str = "model") -> Iterator[Update]:
        """One optimizer step of `group` over one global batch: an Update for each of its micro-batches."""
        for part in range(self.accumulate):
            batch = next(self)
            yield Update(lambda batch=batch: loss(batch), group, step=part == self.accumulate - 1, scale=1 / self.accumulate)

    def updates_with_report(
        self, losses: Callable[[Batch, dict[str, Tensor]], Mapping[str, Tensor]], group: str = "model"
    ) -> Iterator[Update]:
        """As `updates`, for losses that note in their second argument what is logged beside them."""
        for part in range(self.accumulate):
            batch, seen = next(self), dict[str, Tensor]()
            yield Update(
                lambda batch=batch, seen=seen: losses(batch, seen),
                group,
                step=part == self.accumulate - 1,
                scale=1 / self.accumulate,
                report=lambda seen=seen: seen,
            )
