"""What every command that looks at a trained run has in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from genever.errors import UserError
from genever.runs import RunDirectory, find_run, known_experiments

if TYPE_CHECKING:
    from genever.execution import Opened

__all__ = ["add_run_arguments", "found_run", "opened_run"]


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
    parser.add_argument(
        "--mix",
        action="append",
        default=[],
        metavar="RUN=STRENGTH",
        help="add what another run of the same start has learned, such as an adapter, at this strength; repeatable",
    )
    parser.add_argument(
        "--strength", type=float, metavar="STRENGTH", help="of what the run itself has learned; 0 = its start (default: 1)"
    )
    parser.add_argument("--device", help="such as cuda:1 or cpu (default: a GPU where there is one)")


def opened_run(arguments: argparse.Namespace) -> Opened:
    """The run's model with its composition, under the bindings of the command line."""
    if arguments.weights is not None and arguments.average_length is not None:
        raise UserError("--weights and --average-length both say which weights. Give one of the two.")
    directory = found_run(arguments.run, arguments.root)
    others = [_mixed_in(word, arguments.root) for word in arguments.mix]
    from genever.execution import mixed, open_run, pick_device
    from genever.language import build, read, resolve
    from genever.parts import load_catalog

    catalog = load_catalog()
    try:
        stage = None
        if arguments.binding:
            config = read(directory.resolved, arguments.binding, catalog=catalog, runs_root=arguments.root)
            stage = build(resolve(config, catalog).text, catalog)
        opened = open_run(
            directory,
            catalog,
            device=pick_device(arguments.device),
            stage=stage,
            step=arguments.step,
            weights=arguments.weights,
            average_length=arguments.average_length,
        )
        if not others and arguments.strength is None:
            return opened
        strength = 1.0 if arguments.strength is None else arguments.strength
        return mixed(opened, others, strength=strength, catalog=catalog)
    except ValueError as error:
        raise UserError(str(error)) from error


def found_run(name: str, root: str) -> RunDirectory:
    """The run that a word on the command line means."""
    directory = find_run(name, Path(root))
    if directory is None:
        raise UserError(
            f"there is no run at {name!r}, and no finished run of that name in {root!r}. "
            f"Experiments with runs there: {', '.join(known_experiments(Path(root))) or 'none'}. "
            "Give a run's directory, or run it first."
        )
    return directory


def _mixed_in(word: str, root: str) -> tuple[RunDirectory, float]:
    """A run, and the strength at which it is mixed in."""
    name, _, number = word.rpartition("=")
    try:
        strength = float(number)
    except ValueError:
        name, strength = "", 0.0
    if not name:
        raise UserError(f"--mix is {word!r}. Write a run and a number, as in --mix digits/lora=0.5.")
    return found_run(name, root), strength
