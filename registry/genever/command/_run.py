"""`genever run FILE`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from genever.command._experiment import add_experiment_arguments, read_experiment
from genever.errors import UserError
from genever.runs import create_run, surroundings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    parser.add_argument("--device", help="where to train, such as cuda:1 or cpu (default: a GPU where there is one)")


def run(arguments: argparse.Namespace) -> int:
    """Checks, freezes and trains an experiment; prints the run's directory as the last line of standard output."""
    catalog, resolved = read_experiment(arguments)
    facts = surroundings(catalog, Path(arguments.file).parent)
    directory = create_run(resolved, Path(arguments.root), facts)
    from genever.execution import execute, pick_device

    try:
        code = execute(directory, catalog, device=pick_device(arguments.device))
    except UserError:
        if not directory.saved_steps():
            shutil.rmtree(directory.path)
        raise
    print(directory.path)
    sys.stdout.flush()
    return code
