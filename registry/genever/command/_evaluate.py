"""`genever evaluate RUN`."""

from __future__ import annotations

import argparse
import json
import math

from genever.command._opened import add_run_arguments, opened_run
from genever.errors import UserError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Measures every metric of the stage, and prints its numbers; as JSON, null stands for what is not finite."""
    opened = opened_run(arguments)
    from genever.execution import measure

    try:
        found = measure(opened)
    except ValueError as error:  # What a metric finds wrong with this stage.
        raise UserError(str(error)) from error
    if arguments.json:
        about = {"run": str(opened.run.path), "step": opened.step, "weights": opened.weights}
        values = {name: one.value if math.isfinite(one.value) else None for name, one in found.items()}
        protocols = {name: one.protocol for name, one in found.items()}
        print(json.dumps({**about, **values, "protocols": protocols}, allow_nan=False))
    else:
        print(f"{opened.run.path}  step {opened.step}  weights {opened.weights}")
        for name, one in found.items():
            print(f"  {name:<28} {one.value:<10.4f}  {one.protocol}".rstrip())
    return 0
