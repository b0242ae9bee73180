"""What every command that looks at a trained run has in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from genever.errors import UserError
from genever.runs import find_run, known_experiments

if TYPE_CHECKING:
    from genever.execution import Opened

__all__ = ["add_run_arguments", "opened_run"]


def add_run_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """What says which run, and how it is to be looked at; with `several`, `run` holds a list."""
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="+" if several else None,
        help="a run's directory, or an experiment's name for its newest finished run",
    )
    parser.add_argument(
        "-b",
        "--binding",
        action="append",
        default=[],
        metavar="'NAME.KEY = VALUE'",
        help="another solver, guidance or metric than the run's own, such as 'Euler.num_steps = 4'; repeatable",
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--step", type=int, help="a checkpoint's step (default: the newest)")
    parser.add_argument("--weights", help="an average's name, or raw (default: the first average)")
    parser.add_argument(
        "--average-length",
        type=float,
        metavar="SHARE",
        help="in place of --weights: an average whose length is SHARE of training, put together out of a run's snapshots",
    )
    parser.add_argument("--device", help="such as cuda:1 or cpu (default: a GPU where there is one)")


def opened_run(arguments: argparse.Namespace) -> Opened:
    """The run's model with its composition, under the bindings of the command line."""
    if arguments.weights is not None and arguments.average_length is not None:
        raise UserError("--weights and --average-length both say which weights. Give one of the two.")
    root = Path(arguments.root)
    directory = find_run(arguments.run, root)
    if directory is None:
        raise UserError(
            f"there is no run at {arguments.run!r}, and no finished run of that name in {arguments.root!r}. "
            f"Experiments with runs there: {', '.join(known_experiments(root)) or 'none'}. "
            "Give a run's directory, or run it first."
        )
    from genever.execution import open_run, pick_device
    from genever.language import build, read, resolve
    from genever.parts import load_catalog

    catalog = load_catalog()
    try:
        stage = None
        if arguments.binding:
            config = read(directory.resolved, arguments.binding, catalog=catalog, runs_root=arguments.root)
            stage = build(resolve(config, catalog).text, catalog)
        return open_run(
            directory,
            catalog,
            device=pick_device(arguments.device),
            stage=stage,
            step=arguments.step,
            weights=arguments.weights,
            average_length=arguments.average_length,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
