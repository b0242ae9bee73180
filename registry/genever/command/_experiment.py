"""What every command that reads a gin file has in common."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from genever.errors import UserError

if TYPE_CHECKING:
    from genever.language import Resolved
    from genever.parts import Catalog

__all__ = ["add_experiment_arguments", "read_experiment"]


def add_experiment_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the experiment's gin file")
    parser.add_argument(
        "-b", "--binding", action="append", default=[], metavar="'NAME.KEY = VALUE'", help="overrides a binding; repeatable"
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")


def read_experiment(arguments: argparse.Namespace) -> tuple[Catalog, Resolved]:
    """Reads, checks and resolves; warnings go to standard error. Raises UserError with every mistake of the file."""
    from genever.language import check, read, resolve
    from genever.parts import load_catalog

    catalog = load_catalog()
    config = read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root)
    problems = check(config, catalog)
    for problem in problems:
        print(problem, file=sys.stderr)
    errors = [problem for problem in problems if problem.level == "error"]
    if errors:
        raise UserError(f"{arguments.file} has {len(errors)} mistake{'s' if len(errors) > 1 else ''}; nothing was started.")
    return catalog, resolve(config, catalog)
