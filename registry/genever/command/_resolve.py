"""`genever resolve FILE`: the one flat file that a run would freeze."""

from __future__ import annotations

import argparse
import sys

from genever.command._experiment import add_experiment_arguments
from genever.language import read, resolve
from genever.parts import load_catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print resolved.json: where each value comes from")


def run(arguments: argparse.Namespace) -> int:
    """Prints resolved.gin."""
    catalog = load_catalog()
    resolved = resolve(read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root), catalog)
    if resolved.note:
        print(resolved.note, file=sys.stderr)
    print(resolved.json if arguments.json else resolved.text, end="")
    return 0
