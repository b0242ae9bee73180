"""`genever resolve FILE`: the one flat file that a run would freeze."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from genever.language import read, resolve
from genever.parts import load_catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `genever resolve` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the gin file of an experiment")
    parser.add_argument(
        "-b",
        "--binding",
        action="append",
        default=[],
        metavar="'Name.key = value'",
        help="set a value over the file; repeatable",
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (default: runs)")
    parser.add_argument("--json", action="store_true", help="print resolved.json: where each value came from")


def run(arguments: argparse.Namespace) -> int:
    """Prints resolved.gin."""
    catalog = load_catalog()
    resolved = resolve(read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root), catalog)
    if resolved.note:
        print(resolved.note, file=sys.stderr)
    print(resolved.json if arguments.json else resolved.text, end="")
    return 0
