"""`genever run FILE`."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from genever.command._experiment import add_experiment_arguments, read_experiment
from genever.command._train import add_training_arguments, asked_profile, submit, train
from genever.errors import UserError
from genever.runs import create_run, surroundings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    add_training_arguments(parser)
    parser.add_argument("--no-build", action="store_true", help="with --on: submit without building the networks first")


def run(arguments: argparse.Namespace) -> int:
    """Checks and freezes an experiment, and trains it or submits it; the last line it prints is the run's directory."""
    file, root = Path(arguments.file), Path(arguments.root)
    profile = asked_profile(arguments, file)
    catalog, resolved = read_experiment(arguments)
    if resolved.note:
        raise UserError(resolved.note)
    if profile and not arguments.no_build:
        from genever.command._preflight import build_before_queue

        build_before_queue(resolved, catalog, root, profile.num_processes)
    directory = create_run(resolved, root, surroundings(catalog, file.parent))
    try:
        if profile is None:
            code = train(directory, catalog, arguments)
        else:
            submit(directory, catalog, profile, root)
            code = 0
    except UserError:
        if not directory.saved_steps():
            shutil.rmtree(directory.path)
        raise
    print(directory.path)
    sys.stdout.flush()
    return code
