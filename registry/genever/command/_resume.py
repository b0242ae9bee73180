"""`genever resume RUN`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genever.command._train import add_training_arguments, asked_profile, submit, train
from genever.errors import UserError
from genever.runs import RunDirectory

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="the run's directory")
    add_training_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Goes on with a run from its newest checkpoint, here or on a cluster."""
    directory = RunDirectory(Path(arguments.run))
    if not directory.is_legible:
        raise UserError(f"{arguments.run!r} is no run's directory: it has no run.json and resolved.gin that can be read.")
    if directory.facts["status"] == "finished":
        print(f"{directory.path} is finished; there is nothing left to do.", file=sys.stderr)
        print(directory.path)
        return 0
    profile = asked_profile(arguments, Path.cwd())
    _refuse_if_it_lives(directory, together=profile is not None or (arguments.processes or 1) > 1)
    from genever.parts import load_catalog

    catalog, code = load_catalog(), 0
    if profile is None:
        code = train(directory, catalog, arguments)
    else:
        submit(directory, catalog, profile, _root(directory))
    print(directory.path)
    return code


def _refuse_if_it_lives(run: RunDirectory, *, together: bool) -> None:
    """Nobody takes a run from a job; nor do several processes from a terminal. One alone asks for the run's lock."""
    from genever.launch import look

    [found] = look([run])
    if found.is_live and found.job is not None:
        raise UserError(
            f"{run.path} is {found.kind}: job {found.job} has it. Wait for it, or stop it first: genever cancel {run.path}."
        )
    if found.is_live and together:
        raise UserError(
            f"{run.path} is {found.kind}: it is trained in somebody's terminal. Stop it there, with Ctrl-C. If its "
            "process is gone, wait until genever status says that the run is lost, or go on with one process, here."
        )


def _root(run: RunDirectory) -> Path:
    """Where runs live: '<root>/<experiment>/<id>'."""
    return run.path.resolve().parents[len(Path(run.facts["experiment"]).parts)]
