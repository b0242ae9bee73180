"""`python -m genever.execution RUN`: one of the processes that train a run."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from genever.errors import UserError
from genever.execution._execute import WRONG, execute
from genever.execution._open import pick_device
from genever.execution._ranks import Place
from genever.parts import load_catalog
from genever.runs import RunDirectory

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Trains with the others that were started for the same run. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m genever.execution", description=__doc__)
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument("--device", help="where to train (default: the GPU of this process's number, where there is one)")
    arguments = parser.parse_args(argv)
    place = Place.from_environment()
    try:
        return execute(
            RunDirectory(arguments.run),
            load_catalog(),
            device=pick_device(arguments.device, local_rank=place.local_rank),
            place=place,
        )
    except UserError as error:
        logging.getLogger("genever").error("%s", error)
        return WRONG


if __name__ == "__main__":
    sys.exit(main())
