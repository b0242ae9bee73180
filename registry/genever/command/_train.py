"""What `run` and `resume` have in common: a run's directory is trained here, or a cluster is asked to."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genever.errors import UserError

if TYPE_CHECKING:
    from genever.launch import Profile
    from genever.parts import Catalog
    from genever.runs import RunDirectory

__all__ = ["add_training_arguments", "asked_profile", "submit", "train"]


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="where to train, such as cuda:1 or cpu (default: a GPU where there is one)")
    parser.add_argument("--processes", type=int, metavar="N", help="processes that train together, on each machine")
    parser.add_argument("--on", metavar="PROFILE", help="submit to a cluster: the name of a profile, such as local or slurm")
    parser.add_argument(
        "--set", action="append", default=[], metavar="'KEY=VALUE'", help="overrides a setting of the profile; repeatable"
    )


def asked_profile(arguments: argparse.Namespace, near: Path) -> Profile | None:
    """The profile of --on; None = train here.

    Raises:
        UserError: the profile is wrong, or the options do not go together.
    """
    if arguments.processes is not None and arguments.processes < 1:
        raise UserError(f"--processes is {arguments.processes}; at least one process trains.")
    if arguments.on is None:
        if arguments.set:
            raise UserError(
                f"--set {arguments.set[0]!r} changes a profile, and there is none. Name one: --on local or --on slurm."
            )
        return None
    if arguments.device is not None:
        raise UserError("--device says where to train here; with --on, say --set 'gpus_per_process=1', or 0 for the CPU.")
    from genever.launch import read_profile

    said = dict.fromkeys(arguments.set, "--set")
    if arguments.processes is not None:
        said[f"processes={arguments.processes}"] = "--processes"
    return read_profile(arguments.on, said, near=near)


def train(run: RunDirectory, catalog: Catalog, arguments: argparse.Namespace) -> int:
    """Trains a run here, to its end. Returns the exit code of the command.

    Raises:
        UserError: a part refuses what it is handed, or another process trains the run.
    """
    from genever.launch import RunJob

    RunJob(run.path).taken_here()
    if (arguments.processes or 1) > 1:
        code = _train_together(run, arguments)
    else:
        from genever.execution import execute, pick_device

        code = execute(run, catalog, device=pick_device(arguments.device))
    return code if code in (0, 2) else 1


def _train_together(run: RunDirectory, arguments: argparse.Namespace) -> int:
    from genever.launch import Profile, spawn_here, supervise

    num = arguments.processes
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // num, 1)))
    spawn = spawn_here(Profile(processes=num), device=arguments.device, quiet=True)
    code = supervise([run], spawn, token=f"here-{os.getpid()}-{secrets.token_hex(3)}")
    if code == 2:
        raise UserError(run.facts["reason"])
    return code


def submit(run: RunDirectory, catalog: Catalog, profile: Profile, root: Path) -> None:
    """Asks a cluster to train a run.

    Raises:
        UserError: the cluster refuses.
    """
    from genever.launch import Job, connect, freeze_code

    cluster = connect(profile, root, code=freeze_code(root, catalog))
    [(_, job)] = cluster.submit([Job(name=run.facts["experiment"], runs=(run.path,))])
    print(f"job {job} of {profile.name} will train it; see: genever status {run.path}", file=sys.stderr)
