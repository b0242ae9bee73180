"""`genever run FILE`."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genever.command._experiment import add_experiment_arguments, read_experiment
from genever.errors import UserError
from genever.runs import RunDirectory, git_state, write_whole

if TYPE_CHECKING:
    from genever.language import Resolved
    from genever.parts import Catalog

__all__ = ["add_arguments", "create_run", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    parser.add_argument("--device", help="where to train, such as cuda:1 or cpu (default: a GPU where there is one)")


def run(arguments: argparse.Namespace) -> int:
    """Checks, freezes and trains an experiment; prints the run's directory as the last line of standard output."""
    catalog, resolved = read_experiment(arguments)
    directory = create_run(resolved, catalog, Path(arguments.root), Path(arguments.file))
    from genever.execution import execute, pick_device

    try:
        code = execute(directory, catalog, device=pick_device(arguments.device))
    except UserError:
        if not directory.saved_steps():
            shutil.rmtree(directory.path)
        raise
    print(directory.path)
    sys.stdout.flush()
    return code


def create_run(resolved: Resolved, catalog: Catalog, root: Path, file: Path) -> RunDirectory:
    """Freezes a resolved experiment into a new run's directory."""
    facts: dict[str, Any] = {
        "experiment": resolved.name,
        "identity": resolved.identity,
        "git": git_state(file.resolve().parent),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("genever", "torch", "gin-config", "diffusers", "peft")},
        "plugins": {report.name: report.version for report in catalog.reports if report.parts},
    }
    if resolved.start is not None:
        if resolved.start.run is None:
            raise UserError(resolved.note)
        origin = RunDirectory(resolved.start.run)
        facts["start"] = {
            "name": resolved.start.written,
            "run": str(origin.path.resolve()),
            "identity": origin.facts.get("identity"),
        }
    directory = RunDirectory.create(root, resolved.name, resolved.identity, facts)
    write_whole(directory.path / "resolved.json", resolved.json)
    write_whole(directory.resolved, resolved.text)
    return directory
