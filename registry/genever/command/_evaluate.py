"""`genever evaluate RUN`."""

from __future__ import annotations

import argparse
import json

from genever.command._opened import add_run_arguments, opened_run

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measures every metric of the stage, and prints its numbers."""
    opened = opened_run(arguments)
    from genever.execution import measure

    found = measure(opened)
    if arguments.json:
        about = {"run": str(opened.run.path), "step": opened.step, "weights": opened.weights}
        values = {name: one.value for name, one in found.items()}
        print(json.dumps({**about, **values, "protocols": {name: one.protocol for name, one in found.items()}}))
    else:
        print(f"{opened.run.path}  step {opened.step}  weights {opened.weights}")
        for name, one in found.items():
            print(f"  {name:<28} {one.value:<10.4f}  {one.protocol}".rstrip())
    return 0
