"""`genever sweep FILE`: many runs from one file."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from genever.command._dry_run import dry_run
from genever.command._sweep_status import counted
from genever.errors import UserError
from genever.language import resolve
from genever.launch import Condition, look
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.sweeps import (
    Driver,
    Element,
    Prepared,
    Submission,
    Submitter,
    Sweep,
    SweepDirectory,
    alone_at,
    alone_in,
    conditions,
    continues,
    prepare,
    read_sweep,
)

__all__ = ["add_arguments", "report", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the sweep's YAML file")
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--on", metavar="PROFILE", help="the profile to run on, in place of the file's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="'KEY=VALUE'", help="overrides a setting of the profile; repeatable"
    )
    parser.add_argument("--limit", metavar="N", help="jobs at once, in place of the file's")
    parser.add_argument(
        "--build",
        action=argparse.BooleanOptionalAction,
        help="build new runs without their memory, one with each value that varies (default: before anything is submitted)",
    )
    parser.add_argument("--dry-run", action="store_true", help="show every run and what it would cost; submit nothing")
    parser.add_argument("--json", action="store_true", help="with --dry-run: answer in JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Checks every run of a sweep and submits those that are not done; drives a search until all of its runs are over."""
    sweep, root = read_sweep(arguments.file), Path(arguments.root).absolute()
    if arguments.json and not arguments.dry_run:
        raise UserError("--json shows what a sweep would do: give --dry-run too. What it does: genever status --json.")
    if arguments.dry_run:
        print(dry_run(_prepared(sweep, root, arguments), as_json=arguments.json))
        return 0
    with ExitStack() as alone:
        if sweep.search:
            alone.enter_context(alone_at(root, sweep.name))
            SweepDirectory(root / "sweeps" / sweep.name).cancelled.unlink(missing_ok=True)
        with alone_in(root):
            prepared = _prepared(sweep, root, arguments)
            if prepared.missing:
                raise UserError(prepared.missing)
            submitter = Submitter(prepared.composer)
            submission = submitter.submit(prepared.write(), continues)
        report(submission)
        done = _drive(prepared, submission.sweep, submitter) if sweep.search else True
    print(submission.sweep.path)
    return 0 if done else 1


def report(submission: Submission) -> None:
    """Says what was submitted, and what stands in the way of the rest."""
    sweep, found, num = submission.sweep, conditions(submission.sweep), len(submission.runs)
    _say(f"{sweep.name}: {num} run{'s' * (num != 1)} submitted; {counted(found)}")
    for element in submission.left_out[:5]:
        _say(f"  {element.number} is left out: {found[element.number].reason}")
    if any(one.kind == "failed" for one in found):
        _say(f"What failed is not submitted again, unless you say so: genever retry {sweep.name}")
    dropped = [one for one in (RunDirectory(sweep.root / run) for run in sweep.manifest.dropped) if one.is_legible]
    for one, condition in zip(dropped, look(dropped), strict=True):
        if condition.is_live:
            _say(f"{one.path} is {condition.kind}, but the file asks for it no more. To stop it: genever cancel {one.path}")


def _prepared(sweep: Sweep, root: Path, arguments: argparse.Namespace) -> Prepared:
    said = dict.fromkeys(arguments.set, "--set")
    if arguments.limit is not None:
        said[f"limit={arguments.limit}"] = "--limit"
    prepared = prepare(sweep, root=root, catalog=load_catalog(), on=arguments.on, overrides=said)
    for warning in prepared.warnings:
        _say(warning)
    if arguments.build if arguments.build is not None else not arguments.dry_run:
        _build(prepared)
    return prepared


def _build(prepared: Prepared) -> None:
    """Finds what only built networks can tell.

    Raises:
        UserError: a part refuses what it is handed.
    """
    if prepared.missing or not prepared.examples:
        return
    from genever.command._preflight import build_before_queue

    catalog, root, planned = prepared.composer.catalog, prepared.directory.root, prepared.planned
    for one in prepared.examples:
        num = prepared.profiles[one.stage].num_processes
        build_before_queue(resolve(one.config, catalog), catalog, root, num, planned=planned, home=one.origin.of)


def _drive(prepared: Prepared, sweep: SweepDirectory, submitter: Submitter) -> bool:
    """Drives a search, and says how each run ends."""
    search = prepared.sweep.search
    assert search

    def submit(sweep: SweepDirectory) -> SweepDirectory:
        with alone_in(sweep.root):
            return submitter.submit(sweep, lambda condition: condition.kind == "created").sweep

    def tell(element: Element, condition: Condition, value: float | None) -> None:
        drawn = ", ".join(f"{key} = {text}" for key, text in element.varied.items())
        what = f"{search.metric} {value:.6g}" if value is not None else f"{condition.kind} {condition.reason}".strip()
        _say(f"{element.number + 1}/{search.num}  {drawn}: {what}")

    _say(f"{sweep.name} is driven from here. Stop it with Ctrl-C, and go on with the same command.")
    return Driver(prepared, sweep, submit, tell).drive()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
