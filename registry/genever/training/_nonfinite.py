"""Steps whose loss or gradient is not finite: skipped, counted on the device, and saved for replay."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from genever.runs import RunDirectory, write_whole
from genever.training._feed import Feed

__all__ = ["NonFinite", "NonFiniteError"]

#: More groups than any method has: a step and its group are one number on the device.
_GROUPS = 64


class NonFiniteError(Exception):
    """More steps than allowed had a loss or gradient that is not finite. Its message names step, group and saved batch."""


class NonFinite:
    """Counts bad steps without waiting for the device.

    Args:
        limit: bad steps that are let pass.
        count: bad steps of the run so far.
    """

    def __init__(self, limit: int, device: torch.device, count: int = 0) -> None:
        self.limit = limit
        self.count = torch.full((), count, dtype=torch.int64, device=device)
        self.first_over = torch.full((), -1, dtype=torch.int64, device=device)
        self.groups: list[str] = []

    def note(self, taken: Tensor, step: int, group: str) -> None:
        """Remembers whether `group` took its optimizer step."""
        if group not in self.groups:
            self.groups.append(group)
        self.count += (~taken).long()
        code = step * _GROUPS + self.groups.index(group)
        over = (self.count > self.limit) & (self.first_over < 0) & ~taken
        self.first_over = torch.where(over, code, self.first_over)

    def check(self, run: RunDirectory, feed: Feed) -> None:
        """Raises NonFiniteError where the limit was passed, after saving the batch of that step."""
        code = int(self.first_over.item())
        if code < 0:
            return
        step, group = code // _GROUPS, self.groups[code % _GROUPS]
        folder = save_batch(run, feed, step, group)
        saved = run.saved_steps()
        going_on = f"The last checkpoint is step {saved[-1]}" if saved else "No checkpoint was saved yet"
        raise NonFiniteError(
            f"the loss or gradient of group {group!r} is not finite at step {step} "
            f"(bad steps so far: {int(self.count.item())}, allowed by train.skip_nonfinite: {self.limit}). "
            f"Its batch is in {folder}. {going_on}. The same step would come again, so lower the learning rate or raise "
            f"train.skip_nonfinite in {run.resolved} first, and go on with: genever resume {run.path}"
        )


def save_batch(run: RunDirectory, feed: Feed, step: int, group: str) -> Path:
    """Writes this process's part of the first batch of a step, which follows from (seed, step), for replay."""
    folder = run.path / "nonfinite" / f"step_{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    batch = next(feed.at(step))
    tensors = {"x_1": batch.x_1, "images": batch.images, "cond": batch.cond, "noise": batch.noise()}
    save_file(
        {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()},
        folder / f"batch_{feed.world.rank}.safetensors",
    )
    write_whole(folder / "step.json", json.dumps({"step": step, "group": group, "seed": feed.seed}) + "\n")
    return folder
