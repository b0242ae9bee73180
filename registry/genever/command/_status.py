"""`genever status [SWEEP|RUN]...`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from genever.command._columns import columns
from genever.command._sweep_status import progress, sweep_answer, sweep_text
from genever.launch import Condition, look
from genever.runs import RunDirectory, list_runs
from genever.sweeps import conditions, find_sweep, is_driven, known_sweeps

__all__ = ["add_arguments", "run"]

#: Rows that are shown where nothing in particular was asked for.
_NEWEST = 30
#: Seconds between two looks.
_EVERY_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        metavar="SWEEP|RUN",
        nargs="*",
        help="a sweep, a run's directory, or an experiment's name for all its runs (default: all runs)",
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    parser.add_argument("--watch", action="store_true", help="look again every few seconds, until nothing is going on")


def run(arguments: argparse.Namespace) -> int:
    """Prints how runs and sweeps are, the newest last."""
    before = ""
    while True:
        text, is_live = _looked(arguments)
        if text != before:
            print(f"\x1b[H\x1b[2J{text}" if arguments.watch and sys.stdout.isatty() else text, flush=True)
        if not arguments.watch or not is_live:
            return 0
        before = text
        time.sleep(_EVERY_S)


def _looked(arguments: argparse.Namespace) -> tuple[str, bool]:
    """What is to be said now, and whether it may change without anybody's doing."""
    root = Path(arguments.root)
    texts: list[str] = []
    answers: list[dict[str, Any]] = []
    is_live = False
    for name in arguments.name or [None]:
        sweep = find_sweep(name, root) if name is not None else None
        if sweep is not None:
            # Between two runs of a search nothing lives but who drives it; he is asked for first, as he may leave meanwhile.
            is_live = is_live or is_driven(sweep.root, sweep.name)
            found = conditions(sweep)
            texts.append(sweep_text(sweep, found))
            answers.append(sweep_answer(sweep, found))
        else:
            runs = list_runs(root, name)
            found = look(runs)
            rows = list(zip(runs, found, strict=True))
            texts.append(_runs_text(rows, root, newest=name is None))
            answers += [{"run": str(run.path), **dataclasses.asdict(one)} for run, one in rows]
        is_live = is_live or any(one.is_live for one in found)
    return (json.dumps(answers, indent=1) if arguments.json else "\n\n".join(texts)), is_live


def _runs_text(rows: list[tuple[RunDirectory, Condition]], root: Path, *, newest: bool) -> str:
    """A table of runs; of all runs those that live and the newest, and where the others are."""
    shown = [row for row in rows[:-_NEWEST] if row[1].is_live] + rows[-_NEWEST:] if newest else rows
    text = [status_table(shown, root) if shown else f"There are no runs in {root}."]
    if len(shown) < len(rows):
        text.append(f"{len(rows) - len(shown)} older ones are over; name an experiment to see its runs.")
    if newest and (sweeps := known_sweeps(root)):
        text.append(f"Sweeps: {', '.join(sweeps)}. Name one to see how it is.")
    return "\n".join(text)


def status_table(rows: list[tuple[RunDirectory, Condition]], root: Path) -> str:
    """One line for each run."""
    cells = [(_name(run, root), found.kind, progress(found), found.job or "", found.reason) for run, found in rows]
    return columns([("run", "is", "step", "job", ""), *cells], indent=0, widest=60)


def _name(run: RunDirectory, root: Path) -> str:
    return (run.path.relative_to(root) if run.path.is_relative_to(root) else run.path).as_posix()
