"""What every command that looks at a trained run has in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from genever.errors import COMMAND_LINE, UserError
from genever.runs import RunDirectory, find_run, known_experiments

if TYPE_CHECKING:
    from genever.execution import Opened
    from genever.language import Config
    from genever.parts import Catalog

__all__ = ["add_run_arguments", "found_run", "opened_run", "opened_runs"]


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
    return next(opened_runs(argparse.Namespace(**{**vars(arguments), "run": [arguments.run]})))


def opened_runs(arguments: argparse.Namespace, *, of_the_first: Sequence[str] = ()) -> Iterator[Opened]:
    """The same of each of several runs, one after the other.

    Args:
        of_the_first: bindings of the first run alone.

    Raises:
        UserError: among others, where a binding has no effect in any of the runs.
    """
    if arguments.weights is not None and arguments.average_length is not None:
        raise UserError("--weights and --average-length both say which weights. Give one of the two.")
    directories = [found_run(word, arguments.root) for word in arguments.run]
    others = [_mixed_in(word, arguments.root) for word in arguments.mix]
    from genever.language import read
    from genever.parts import load_catalog

    catalog = load_catalog()
    bindings = [[*arguments.binding, *of_the_first], *(arguments.binding for _ in directories[1:])]
    configs = [
        read(directory.resolved, own, catalog=catalog, runs_root=arguments.root) if own else None
        for directory, own in zip(directories, bindings, strict=True)
    ]
    _refuse_what_is_in_vain(configs, catalog)
    for directory, config in zip(directories, configs, strict=True):
        yield _opened(directory, config, others, arguments, catalog)


def _refuse_what_is_in_vain(configs: Sequence[Config | None], catalog: Catalog) -> None:
    """Prints other warnings. Of several runs, a binding may be meant for one."""
    from genever.language import check

    problems = [() if config is None else check(config, catalog) for config in configs]
    if any(problem.level == "error" for found in problems for problem in found):
        return  # Whoever resolves that config says so.
    read = {problem for config in configs if config is not None for problem in config.problems}
    found = [[one for one in some if one.file == COMMAND_LINE and one not in read] for some in problems]
    in_vain = set.intersection(*({problem.line for problem in some} for some in found))
    if in_vain:
        raise UserError("\n".join(str(replace(one, level="error")) for one in found[0] if one.line in in_vain))
    for problem in dict.fromkeys(chain.from_iterable(problems)):
        if problem.file != COMMAND_LINE or problem in read:
            print(problem, file=sys.stderr)


def _opened(
    directory: RunDirectory,
    config: Config | None,
    others: Sequence[tuple[RunDirectory, float]],
    arguments: argparse.Namespace,
    catalog: Catalog,
) -> Opened:
    from genever.execution import mixed, open_run, pick_device, set_in_vain
    from genever.language import build, resolve

    try:
        opened = open_run(
            directory,
            catalog,
            device=pick_device(arguments.device),
            stage=None if config is None else build(resolve(config, catalog).text, catalog),
            step=arguments.step,
            weights=arguments.weights,
            average_length=arguments.average_length,
        )
        if config is not None and (message := set_in_vain(opened, catalog)):
            if len(arguments.run) == 1:
                raise UserError(message)
            print(f"warning: {message}", file=sys.stderr)
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
