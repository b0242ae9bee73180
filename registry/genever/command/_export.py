"""`genever export RUN FOLDER`."""

from __future__ import annotations

import argparse
from pathlib import Path

from genever.command._opened import add_run_arguments, opened_run
from genever.errors import UserError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("folder", metavar="FOLDER", help="a new folder for the weights or the adapter")


def run(arguments: argparse.Namespace) -> int:
    """Writes what the stage's tuner thinks worth keeping elsewhere."""
    folder = Path(arguments.folder)
    if folder.exists():
        raise UserError(f"{arguments.folder!r} exists already; nothing is overwritten. Name a new folder.")
    opened = opened_run(arguments)
    opened.composition.tuned.export(folder)
    print(folder)
    return 0
