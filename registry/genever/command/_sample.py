"""`genever sample RUN`."""

from __future__ import annotations

import argparse
from pathlib import Path

from genever.command._opened import add_run_arguments, opened_run
from genever.errors import UserError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("--num", type=int, default=40, help="images (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first image: the same number, the same noise")
    parser.add_argument("--label", type=int, help="ask for this label (default: those of the validation split in turn)")
    parser.add_argument("--caption", help="ask for this caption")
    parser.add_argument("--out", help="the PNG to write (default: samples/sample_STEP.png in the run's directory)")


def run(arguments: argparse.Namespace) -> int:
    """Writes a grid of samples and prints its path."""
    if arguments.num < 1:
        raise UserError(f"--num is {arguments.num}; ask for at least one image.")
    if arguments.out and Path(arguments.out).suffix.lower() != ".png":
        raise UserError(f"--out is {arguments.out!r}, but what is written is a PNG. Let the name end in .png.")
    opened = opened_run(arguments)
    from genever.training import asked_for, sample, save_grid

    numbers = range(arguments.first, arguments.first + arguments.num)
    wanted = asked_for(opened.composition, numbers, label=arguments.label, caption=arguments.caption)
    made = sample(opened.composition, opened.model, numbers, solver=opened.solver, guidance=opened.guidance, wanted=wanted)
    out = Path(arguments.out) if arguments.out else opened.run.samples / f"sample_{opened.step:08d}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    save_grid(made.images, out)
    print(out)
    return 0
