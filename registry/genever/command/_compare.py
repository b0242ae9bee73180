"""`genever compare RUN RUN...`: what differs between runs, and between what came out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from genever.command._columns import terminal_width
from genever.errors import UserError
from genever.results import compare, comparison_json, comparison_text

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        metavar="RUN",
        nargs="+",
        help="a run's directory, '<experiment>/<id>', or an experiment's name for its newest finished run; two or more",
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Prints what differs from the first run."""
    if len(arguments.names) < 2:
        raise UserError(f"{arguments.names[0]!r} is compared with nothing. Name two runs or more.")
    found = compare(arguments.names, Path(arguments.root))
    if arguments.json:
        print(json.dumps(comparison_json(found), indent=1, allow_nan=False))
    else:
        print(comparison_text(found, width=terminal_width()))
    return 0
