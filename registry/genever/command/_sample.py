"""`genever sample RUN...`."""

from __future__ import annotations

import argparse
from pathlib import Path

from genever.command._opened import add_run_arguments, opened_runs
from genever.errors import UserError

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
    """Writes a grid of samples and prints its path. Of several runs, a row of each: the first one's noise and prompts."""
    is_one = len(arguments.run) == 1
    num = arguments.num if arguments.num is not None else _OF_ONE if is_one else _OF_SEVERAL
    if num < 1:
        raise UserError(f"--num is {num}; ask for at least one image.")
    if arguments.out and Path(arguments.out).suffix.lower() != ".png":
        raise UserError(f"--out is {arguments.out!r}, but what is written is a PNG. Let the name end in .png.")
    if arguments.label and arguments.caption:
        raise UserError("--label and --caption both say what to ask for. Give one of the two.")
    opened = [*opened_runs(arguments)]
    import torch

    from genever.execution import Contest
    from genever.training import save_grid

    numbers = range(arguments.first, arguments.first + num)
    contest = Contest.of(opened[0], numbers, labels=arguments.label, captions=arguments.caption)
    sheet = torch.cat([contest.enter(str(one.run.path), one).images for one in opened])
    out = Path(arguments.out) if arguments.out else opened[-1].run.samples / f"sample_{opened[-1].step:08d}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_grid(sheet, out, columns=10 if is_one else num)
    print(out)
    return 0
