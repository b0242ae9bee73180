"""`genever arena RUN RUN...`: which run is better, by many comparisons of two at a time."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genever.arena import Answers, Bout, Show, serve, standings, standings_json, standings_text
from genever.command._opened import add_run_arguments, found_run, opened_runs
from genever.errors import UserError

if TYPE_CHECKING:
    from genever.execution import Contest, Judged
    from genever.runs import RunDirectory

__all__ = ["add_arguments", "run"]

_ANSWERS = "arena.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser, several=True)
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--by",
        metavar="'@PART()'",
        help="a reward or a judge of pairs, such as '@VerifiedCaption()'; -b sets its parameters",
    )
    who.add_argument("--metric", metavar="NAME", help="a number of train.metrics, such as fd")
    who.add_argument("--page", action="store_true", help="ask a person, on a page that this machine alone can open")
    parser.add_argument(
        "--block", type=int, default=1, metavar="NUM", help="samples that --metric measures together (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any that is free)")
    parser.add_argument(
        "--answers",
        metavar="FILE",
        help=f"where a person's answers are added, and read where nobody else judges (default: {_ANSWERS} below --root)",
    )
    parser.add_argument("--num", type=int, default=100, help="samples of each run (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first sample: the same number, the same noise")
    parser.add_argument("--label", type=int, action="append", default=[], help="ask for this label; of several, in turn")
    parser.add_argument("--caption", action="append", default=[], help="ask for this caption; of several, in turn")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Rates the runs by Bradley and Terry, with intervals, and by Elo."""
    _check(arguments)
    entries = _entries(arguments)
    answers = Answers(Path(arguments.answers) if arguments.answers else Path(arguments.root) / _ANSWERS)
    by, consistency = f"people, in {answers.file}", None
    if arguments.by or arguments.metric:
        found = _judged(_contest(arguments, entries), arguments)
        bouts, by, consistency = found.bouts, found.by, found.consistency
    else:
        if arguments.page:
            _ask(_contest(arguments, entries), answers, arguments.port)
        bouts = answers.read(entries)
    if not bouts:
        raise UserError(f"nobody has compared these runs yet in {answers.file}. Add --page, --by or --metric.")
    _print(bouts, _short(entries, brief=not arguments.json), by, consistency, as_json=arguments.json)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if len(arguments.run) < 2:
        raise UserError(f"{arguments.run[0]!r} has nobody to be compared with. Name two runs or more.")
    if arguments.num < 1 or arguments.block < 1:
        raise UserError(f"--num is {arguments.num} and --block is {arguments.block}; give at least one of each.")
    if arguments.label and arguments.caption:
        raise UserError("--label and --caption both say what to ask for. Give one of the two.")
    if arguments.block != 1 and not arguments.metric:
        raise UserError("--block says how --metric judges, which is not given.")
    if arguments.by and not arguments.by.startswith("@"):
        raise UserError(f"--by is {arguments.by!r}, which is no part. Write it as in a gin file, such as '@Ink()'.")


def _entries(arguments: argparse.Namespace) -> dict[str, RunDirectory]:
    """Each run by a name under which its answers are found again: what it is and how it is looked at."""
    named = ("weights", "average_length", "strength", "mix", "binding", "label", "caption")
    looked = [f"{name}={value}" for name in named if (value := getattr(arguments, name)) not in (None, [])]
    entries: dict[str, RunDirectory] = {}
    for word in arguments.run:
        found = found_run(word, arguments.root)
        step = arguments.step if arguments.step is not None else max(found.saved_steps(), default=0)
        name = " ".join([f"{found.facts.get('experiment', '')}/{found.path.resolve().name}@{step}", *looked])
        if name in entries:
            raise UserError(f"{word!r} is {found.path}, which is named twice. Name runs that differ.")
        entries[name] = found
    return entries


def _short(entries: Mapping[str, RunDirectory], *, brief: bool) -> dict[str, str]:
    """The runs' names.

    Args:
        brief: the experiment's name will do where no other run has it.
    """
    names = {entry: str(run.facts.get("experiment", "")) for entry, run in entries.items()}
    enough = [name for name in names.values() if brief and [*names.values()].count(name) == 1]
    return {
        entry: name if name in enough else f"{name}/{entries[entry].path.resolve().name}" for entry, name in names.items()
    }


def _contest(arguments: argparse.Namespace, entries: Mapping[str, RunDirectory]) -> Contest:
    """Has every run draw, one after the other: only the first one's parts are kept."""
    from genever.execution import Contest

    judge = [f"train.judge = {arguments.by}"] if arguments.by else []
    paths = [str(directory.path) for directory in entries.values()]
    models = opened_runs(argparse.Namespace(**{**vars(arguments), "run": paths}), of_the_first=judge)
    contest = None
    for name, path in zip(entries, paths, strict=True):
        print(f"{path} draws {arguments.num} samples", file=sys.stderr)
        opened = next(models)
        if contest is None:
            numbers = range(arguments.first, arguments.first + arguments.num)
            contest = Contest.of(opened, numbers, labels=arguments.label, captions=arguments.caption)
        contest.enter(name, opened)
    assert contest is not None
    return contest


def _judged(contest: Contest, arguments: argparse.Namespace) -> Judged:
    try:
        if arguments.by:
            return contest.by_part()
        return contest.by_metric(arguments.metric, block=arguments.block)
    except ValueError as error:  # What a reward or a metric finds wrong with this stage.
        raise UserError(str(error)) from error


def _ask(contest: Contest, answers: Answers, port: int) -> None:
    with tempfile.TemporaryDirectory(prefix="genever-arena-") as folder:
        pictures = contest.pictures(Path(folder))
        show = Show(pictures, contest.asked(), contest.draws(), answers, first=contest.numbers.start)

        def ready(address: str) -> None:
            print(f"Open {address} in a browser on this machine; Ctrl-C ends, and rates.", file=sys.stderr, flush=True)

        try:
            serve(show, port=port, ready=ready)
        except KeyboardInterrupt:
            print(file=sys.stderr)


def _print(bouts: Sequence[Bout], short: Mapping[str, str], by: str, consistency: float | None, *, as_json: bool) -> None:
    renamed = [replace(bout, first=short[bout.first], second=short[bout.second]) for bout in bouts]
    found = standings(renamed, [*short.values()])
    if as_json:
        print(json.dumps({"by": by, "consistency": consistency, **standings_json(found, renamed)}))
        return
    seen = "" if consistency is None else f", who saw {consistency:.1%} of the pairs alike from both sides"
    print(f"{len(bouts):,} comparisons by {by}{seen}\n")
    print(standings_text(found, renamed))
