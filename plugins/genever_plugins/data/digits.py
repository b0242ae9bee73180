"""The handwritten digits of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval, MinLen
from genever.values import DataSpec
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genever_plugins.data.in_memory import InMemory

__all__ = ["Digits"]

NUM_CLASSES = 10
#: Of each class, in the order of the file, every fifth image is held out.
HELD_OUT_EVERY = 5


@dataclass(frozen=True, kw_only=True)
class Digits:
    """1,797 handwritten digits, 8 x 8 grey pixels with 17 levels of ink, a part of scikit-learn: nothing is downloaded.

    Ink 0 .. 16 becomes -1 .. 1. The split is fixed and stratified: of each class, in the order of the file, every fifth
    image is for validation (355 images), the others for training (1,442). A subset or a style changes neither the split
    nor the numbers of the labels, so a model of some digits can go on to learn the others, or another hand.

    Args:
        classes: only these digits, 0 .. 9; labels keep their numbers, and there are still ten. None = all ten.
        style: 'inverted' = dark on bright; 'mirrored' = left and right swapped; 'quarter_turn' = turned by 90 degrees
            counter-clockwise; 'bold' = strokes one pixel wider; 'striped' = every second row without ink.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """

    provides: ClassVar[tuple[str, ...]] = ("labels",)
    needs: ClassVar[tuple[str, ...]] = ()

    classes: Annotated[Sequence[Annotated[int, Interval(ge=0, le=9)]], MinLen(1)] | None = None
    style: Literal["plain", "inverted", "mirrored", "quarter_turn", "bold", "striped"] = "plain"

    def __post_init__(self) -> None:
        if self.classes is not None and not (self.classes and set(self.classes) <= set(range(NUM_CLASSES))):
            raise ValueError(
                f"Digits.classes = {list(self.classes)!r} is not a choice of digits. Name at least one of 0 .. 9, "
                "or None for all."
            )

    def build(self, split: Literal["train", "validation"]) -> InMemory:
        pixels, labels = scanned()
        chosen = held_out(labels) == (split == "validation")
        if self.classes is not None:
            chosen &= torch.isin(labels, torch.tensor(list(self.classes)))
        ink = pixels.view(-1, 1, 8, 8)[chosen] / 16
        return InMemory(
            spec=DataSpec(channels=1, height=8, width=8, num_classes=NUM_CLASSES),
            images=_STYLES[self.style](ink).contiguous() * 2 - 1,
            labels=labels[chosen],
        )


def scanned() -> tuple[Float[Tensor, " num pixels"], Int[Tensor, " num"]]:
    """The ink, 0 .. 16, and the digit of each image in the file that scikit-learn ships, which is not imported: that takes
    longer than all the rest of a short run's start."""
    package = find_spec("sklearn")
    assert package, "a dependency"
    assert package.origin
    table = np.loadtxt(Path(package.origin).parent / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.float32)
    return torch.from_numpy(table[:, :-1]), torch.from_numpy(table[:, -1]).long()


def held_out(labels: Int[Tensor, " num"]) -> Bool[Tensor, " num"]:
    """Which samples are for validation: every fifth of each class, the fifth first."""
    is_class = labels.unsqueeze(1) == torch.arange(NUM_CLASSES)
    place_in_class = (is_class.cumsum(0) * is_class).sum(1)
    return place_in_class % HELD_OUT_EVERY == 0


def _bold(ink: Tensor) -> Tensor:
    wider = torch.nn.functional.pad(ink, (1, 0, 1, 0))
    return torch.nn.functional.max_pool2d(wider, kernel_size=2, stride=1)


def _striped(ink: Tensor) -> Tensor:
    rows = torch.arange(ink.shape[-2]) % 2 == 0
    return ink * rows.view(-1, 1)


_STYLES: dict[str, Callable[[Float[Tensor, " num 1 8 8"]], Tensor]] = {
    "plain": lambda ink: ink,
    "inverted": lambda ink: 1 - ink,
    "mirrored": lambda ink: ink.flip(-1),
    "quarter_turn": lambda ink: ink.rot90(1, (-2, -1)),
    "bold": _bold,
    "striped": _striped,
}
