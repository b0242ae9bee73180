"""`python -m genever.launch JOB_FOLDER`: what runs in a job. `--queue ROOT`: what works a local queue off."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Returns the job's exit code."""
    parser = argparse.ArgumentParser(prog="python -m genever.launch", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="the job's folder")
    parser.add_argument("--element", type=int, help="the job's number in it (default: that of the SLURM array)")
    parser.add_argument("--queue", type=Path, metavar="ROOT", help="work off the local queue of this root")
    arguments = parser.parse_args(argv)
    if arguments.queue:
        from genever.launch._local import work

        return work(arguments.queue)
    from genever.launch._condition import cancel_waiting
    from genever.launch._folder import JobFolder
    from genever.launch._ranks import FAILED, WRONG

    folder = JobFolder(arguments.folder)
    if arguments.element is not None:
        from genever.launch._local import run_job

        element = arguments.element
    else:
        from genever.launch._slurm import run_job

        element = int(os.environ["SLURM_ARRAY_TASK_ID"])
    code = run_job(folder, element)
    if code in (FAILED, WRONG):
        cancel_waiting(folder.rest, reason=f"job {folder.job(element)} failed, and the sweep stops then")
    return code


if __name__ == "__main__":
    sys.exit(main())
