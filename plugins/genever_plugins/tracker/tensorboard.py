"""Follow a run in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Gt
from genever.slots import Writer
from PIL import Image
from torch.utils.tensorboard.writer import SummaryWriter

__all__ = ["TensorBoard"]


@dataclass(frozen=True, kw_only=True)
class TensorBoard:
    """Scalars and image grids for `tensorboard --logdir`, in the folder `tensorboard` of a run.

    Args:
        flush_seconds: at most this long stays in memory.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("flush_seconds",)

    flush_seconds: Annotated[int, Gt(0)] = 30

    def open(self, directory: Path, *, step: int, config: Mapping[str, Any]) -> Writer:
        """A new file of events beside the old ones; what they hold later than `step` is no longer shown."""
        writer = SummaryWriter(str(directory / "tensorboard"), purge_step=step + 1, flush_secs=self.flush_seconds)
        if config and not step:
            writer.add_text("config", "\n".join(f"    {key} = {value}" for key, value in config.items()))
        return _Open(writer)


class _Open:
    def __init__(self, writer: SummaryWriter) -> None:
        self.writer = writer

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def image(self, name: str, file: Path, step: int) -> None:
        with Image.open(file) as image:
            self.writer.add_image(name, np.asarray(image.convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
