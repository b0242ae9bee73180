"""`genever cancel SWEEP|RUN...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genever.errors import UserError
from genever.launch import cancel_runs, look
from genever.runs import RunDirectory, list_runs
from genever.sweeps import SweepDirectory, alone_in, find_sweep

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="SWEEP|RUN",
        nargs="+",
        help="a sweep, a run's directory, or an experiment's name for all its runs",
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Takes what waits out of the queue, and has what runs save and stop."""
    runs = [run for name in arguments.name for run in _runs_of(name, Path(arguments.root))]
    conditions = dict(zip(runs, look(runs), strict=True))
    live = [run for run, found in conditions.items() if found.is_live]
    here = [run for run in live if conditions[run].job is None]
    if here:
        raise UserError(f"{here[0].path} is no job: it is trained in somebody's terminal. Stop it there, with Ctrl-C.")
    cancel_runs(live)
    for run in live:
        print(f"{run.path} was {conditions[run].kind}: job {conditions[run].job} is cancelled", file=sys.stderr)
    if not live:
        print("There is nothing to cancel: every run of that name is over.", file=sys.stderr)
    return 0


def _runs_of(name: str, root: Path) -> list[RunDirectory]:
    """The runs that a name stands for; whoever drives a search of that name is told to stop.

    A sweep that is being submitted names its runs one after the other: it is waited for.
    """
    sweep = find_sweep(name, root)
    if sweep is None:
        return list_runs(root, name)
    if sweep.manifest.metric is not None:
        sweep.cancelled.touch()
    with alone_in(sweep.root):
        return list({run.path: run for _, run in SweepDirectory(sweep.path).runs()}.values())
