"""`genever resume RUN`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genever.errors import UserError
from genever.runs import RunDirectory

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's directory")
    parser.add_argument("--device", help="where to train, such as cuda:1 or cpu (default: a GPU where there is one)")


def run(arguments: argparse.Namespace) -> int:
    """Goes on with a run from its newest checkpoint."""
    directory = RunDirectory(Path(arguments.run))
    if not directory.is_legible:
        raise UserError(f"{arguments.run!r} is no run's directory: it has no run.json and resolved.gin that can be read.")
    if directory.facts["status"] == "finished":
        print(f"{directory.path} is finished; there is nothing left to do.", file=sys.stderr)
        print(directory.path)
        return 0
    from genever.execution import execute, pick_device
    from genever.parts import load_catalog

    code = execute(directory, load_catalog(), device=pick_device(arguments.device))
    print(directory.path)
    return code
