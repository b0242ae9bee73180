"""`genever status [RUN]...`."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from genever.command._columns import columns
from genever.launch import Condition, look
from genever.runs import RunDirectory, list_runs

__all__ = ["add_arguments", "run"]

#: Rows that are shown where nothing in particular was asked for.
_NEWEST = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="RUN", nargs="*", help="a run's directory, or an experiment's name for all its runs (default: all)"
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Prints how the runs are, the newest last."""
    root = Path(arguments.root)
    runs = [run for name in arguments.name or [None] for run in list_runs(root, name)]
    conditions = look(runs)
    if arguments.json:
        told = [{"run": str(run.path), **dataclasses.asdict(one)} for run, one in zip(runs, conditions, strict=True)]
        print(json.dumps(told, indent=1))
        return 0
    rows = [(run, one) for run, one in zip(runs, conditions, strict=True)]
    shown = rows if arguments.name else [row for row in rows[:-_NEWEST] if row[1].is_live] + rows[-_NEWEST:]
    print(status_table(shown, root) if shown else f"There are no runs in {arguments.root}.")
    if len(shown) < len(rows):
        print(f"{len(rows) - len(shown)} older ones are over; name an experiment to see its runs.")
    return 0


def status_table(rows: list[tuple[RunDirectory, Condition]], root: Path) -> str:
    """One line for each run."""
    cells = [(_name(run, root), found.kind, _progress(found), found.job or "", found.reason) for run, found in rows]
    return columns([("run", "is", "step", "job", ""), *cells], indent=0, widest=60)


def _name(run: RunDirectory, root: Path) -> str:
    return (run.path.relative_to(root) if run.path.is_relative_to(root) else run.path).as_posix()


def _progress(found: Condition) -> str:
    if found.step is None or found.kind == "finished":
        return ""
    left = "" if found.seconds_left is None else f", {_duration(found.seconds_left)} left"
    return f"{found.step}{f'/{found.total}' if found.total else ''}{left}"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{int(seconds % 60):02d}"
