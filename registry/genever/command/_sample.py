"""`genever sample RUN...`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genever.command._opened import add_run_arguments, opened_run
from genever.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from genever.execution import Opened

__all__ = ["add_arguments", "run"]

#: Images of one run; of each of several.
_OF_ONE, _OF_SEVERAL = 40, 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, several=True)
    parser.add_argument("--num", type=int, help=f"images (default: {_OF_ONE}; {_OF_SEVERAL} of each of several runs)")
    parser.add_argument("--first", type=int, default=0, help="number of the first image: the same number, the same noise")
    parser.add_argument(
        "--label",
        type=int,
        action="append",
        default=[],
        help="ask for this label; of several, for each in turn (default: those of the validation split in turn)",
    )
    parser.add_argument("--caption", action="append", default=[], help="ask for this caption; of several, for each in turn")
    parser.add_argument(
        "--out",
        help="the PNG to write (default: samples/sample_STEP.png in the run's directory; in the last of several)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes a grid of samples and prints its path. Of several runs, a row of each, all asked for the same."""
    is_one = len(arguments.run) == 1
    num = arguments.num if arguments.num is not None else _OF_ONE if is_one else _OF_SEVERAL
    if num < 1:
        raise UserError(f"--num is {num}; ask for at least one image.")
    if arguments.out and Path(arguments.out).suffix.lower() != ".png":
        raise UserError(f"--out is {arguments.out!r}, but what is written is a PNG. Let the name end in .png.")
    if arguments.label and arguments.caption:
        raise UserError("--label and --caption both say what to ask for. Give one of the two.")
    opened = [opened_run(argparse.Namespace(**{**vars(arguments), "run": name})) for name in arguments.run]
    from genever.training import save_grid

    numbers = range(arguments.first, arguments.first + num)
    rows = [_images(one, numbers, arguments.label, arguments.caption) for one in opened]
    sheet = _stacked(rows, arguments.run)
    out = Path(arguments.out) if arguments.out else opened[-1].run.samples / f"sample_{opened[-1].step:08d}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_grid(sheet, out, columns=10 if is_one else num)
    print(out)
    return 0


def _images(opened: Opened, numbers: range, labels: Sequence[int], captions: Sequence[str]) -> Tensor:
    from genever.training import asked_for, sample

    wanted = asked_for(opened.composition, numbers, labels=labels, captions=captions)
    made = sample(opened.composition, opened.model, numbers, solver=opened.solver, guidance=opened.guidance, wanted=wanted)
    return made.images


def _stacked(rows: Sequence[Tensor], runs: Sequence[str]) -> Tensor:
    """The images of all runs, one run after the other."""
    import torch

    shapes = [tuple(row.shape[1:]) for row in rows]
    for run, shape in zip(runs, shapes, strict=True):
        if shape != shapes[0]:
            raise UserError(
                f"the images of {run!r} are of channels x height x width = {shape}, those of {runs[0]!r} of {shapes[0]}. "
                "Sample them one by one."
            )
    return torch.cat(list(rows))
