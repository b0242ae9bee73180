"""What is looked at during training: validation loss by time, grids of samples, metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from genever.slots import Guidance, Solver
from genever.training._averages import Averages
from genever.training._compose import Composition
from genever.training._draws import Draws
from genever.training._evaluation import Evaluation, asked_for, sample
from genever.training._protocol import protocol_of

__all__ = ["Monitor", "save_grid"]

_TIME_BINS = 8


@dataclass
class Monitor:
    """Looks at one round's model, under its first average and raw, always with the same luck.

    Args:
        model: the role "model" of the round's method.
        solver: how this round's model is sampled.
        samples: the folder of the grids.
        protocols: how each number came about, once it did.
    """

    composition: Composition
    model: nn.Module
    averages: Averages
    solver: Solver
    guidance: Guidance | None
    samples: Path
    protocols: dict[str, str] = field(default_factory=dict)

    def validation(self) -> dict[str, float]:
        """The stage's loss on held-out samples at fixed noise and evenly spread times, and the same by bin of time."""
        num = min(self.composition.stage.validate_samples, len(self.composition.validation))
        found: dict[str, float] = {}
        for name, lent in self._weights("both") if num else ():
            with lent:
                errors, t = self._validation_errors(num)
            found[f"{name}/validation_loss"] = errors.mean().item()
            self.protocols[f"{name}/validation_loss"] = f"{num:,} held-out samples, at fixed noise and evenly spread times"
            for index in range(_TIME_BINS):
                inside = (t >= index / _TIME_BINS) & (t < (index + 1) / _TIME_BINS)
                if inside.any():
                    found[f"{name}/validation_loss_t{index / _TIME_BINS:.3f}"] = errors[inside].mean().item()
        return found

    def grid(self, step: int) -> list[tuple[str, Path]]:
        """Rank 0 writes a grid of samples from the same noise as ever; returns its name and its file."""
        stage, made = self.composition.stage, []
        numbers = range(stage.sample_images)
        for name, lent in self._weights(stage.evaluate_weights) if numbers else ():
            with lent:
                drawn = sample(
                    self.composition,
                    self.model,
                    numbers,
                    solver=self.solver,
                    guidance=self.guidance,
                    wanted=asked_for(self.composition, numbers, captions=stage.sample_captions),
                )
            file = self.samples / f"{name}_{step:08d}.png"
            if self.composition.world.leads:
                save_grid(drawn.images, file, columns=len(stage.sample_captions) or 10)
            made.append((f"samples/{name}", file))
        return made

    def metrics(self, step: int) -> dict[str, float]:
        """Every metric of the stage, as 'average/fd' or 'raw/fd'."""
        stage, found = self.composition.stage, {}
        for name, lent in self._weights(stage.evaluate_weights) if stage.metrics else ():
            evaluation = Evaluation(
                composition=self.composition,
                model=self.model,
                solver=self.solver,
                guidance=self.guidance,
                num_samples=stage.evaluate_samples,
                step=step,
            )
            with lent, torch.no_grad(), _evaluating(self.model):
                for metric in stage.metrics:
                    values = {f"{name}/{key}": value for key, value in metric.measure(evaluation).items()}
                    found.update(values)
                    self.protocols.update(dict.fromkeys(values, protocol_of(metric, evaluation)))
        return found

    def _weights(self, which: str) -> list[tuple[str, AbstractContextManager[None]]]:
        """The names of the asked weights, and a context in which the model holds them."""
        names = list(self.averages.copies)
        found: list[tuple[str, AbstractContextManager[None]]] = []
        if names and which != "raw":
            found.append(("average", self.averages.lent(names[0])))
        if which != "average" or not names:
            found.append(("raw", nullcontext()))
        return found

    @torch.no_grad()
    def _validation_errors(self, num: int) -> tuple[Tensor, Tensor]:
        composition, loss = self.composition, self.composition.loss
        errors, times = [], []
        spread = (torch.arange(num, dtype=torch.float32) * 0.6180339887) % 1.0
        spread = loss.path.start + (loss.path.stop - loss.path.start) * spread
        with _evaluating(self.model):
            for first in range(0, num, 256):
                rows = slice(first, min(first + 256, num))
                draws = Draws((composition.seed, first), slice(0, rows.stop - first), 256, composition.device)
                batch = composition.feed(split="validation").batch(range(rows.start, rows.stop), draws)
                t = spread[rows].to(composition.device)
                wide = t.view(-1, 1, 1, 1)
                x_0 = batch.noise("validation noise")
                x_t = loss.path.alpha(wide) * batch.x_1 + loss.path.sigma(wide) * x_0
                output, _ = self.model(*loss.inputs(x_t, t), batch.cond)
                errors.append(loss.errors(output.float(), x_t=x_t, t=t, x_1=batch.x_1, x_0=x_0).cpu())
                times.append(t.cpu())
        return torch.cat(errors), torch.cat(times)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def save_grid(images: Tensor, file: Path, *, columns: int = 10, height: int = 64) -> None:
    """Writes images [batch, channels, height, width] in [-1, 1] as one PNG; small images are enlarged to `height` pixels."""
    enlarge = max(1, height // images.shape[-2])
    pixels = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pixels = pixels.repeat_interleave(enlarge, -1).repeat_interleave(enlarge, -2)
    pixels = torch.nn.functional.pad(pixels, (1, 1, 1, 1), value=255)
    columns = min(columns, len(pixels))
    missing = -len(pixels) % columns
    pixels = torch.cat([pixels, torch.full((missing, *pixels.shape[1:]), 255, dtype=torch.uint8)])
    rows, channels = len(pixels) // columns, pixels.shape[1]
    sheet = pixels.unflatten(0, (rows, columns)).permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).numpy()
    shown = sheet[..., 0] if channels not in (3, 4) else np.ascontiguousarray(sheet[..., :3])
    Image.fromarray(shown).save(file)
