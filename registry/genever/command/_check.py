"""`genever check FILE`: every mistake of a gin file, in a second, without importing torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from genever.language import Config, Problem, Resolved, check, read, resolve
from genever.parts import Catalog, load_catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `genever check` takes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the gin file of an experiment")
    parser.add_argument(
        "-b",
        "--binding",
        action="append",
        default=[],
        metavar="'Name.key = value'",
        help="set a value over the file; repeatable",
    )
    parser.add_argument("--root", type=Path, default=Path("runs"), metavar="DIR", help="where runs live (default: runs)")
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--build", action="store_true", help="also build the networks without memory, and count them")
    parser.add_argument("--preflight", action="store_true", help="also take two real steps, save, resume and sample")


def run(arguments: argparse.Namespace) -> int:
    """Prints problems to standard error and what the file composes to standard output."""
    catalog = load_catalog()
    config = read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root)
    problems = check(config, catalog)
    errors = sum(problem.level == "error" or arguments.strict for problem in problems)
    resolved = None if errors else resolve(config, catalog)
    if arguments.json:
        print(json.dumps(_answer(config, problems, resolved), indent=1))
    else:
        _print(config, problems, resolved)
    if resolved is None:
        return 2
    return _further(arguments, resolved, catalog)


def _further(arguments: argparse.Namespace, resolved: Resolved, catalog: Catalog) -> int:
    if not (arguments.build or arguments.preflight):
        return 0
    from genever.command._preflight import build_report, preflight

    return (preflight if arguments.preflight else build_report)(resolved, catalog, arguments)


def _print(config: Config, problems: list[Problem], resolved: Resolved | None) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{config.file}: {_counted(problems, 'error')}, {_counted(problems, 'warning')}", file=sys.stderr)
    if resolved:
        print(f"ok {config.file}: {resolved.composes} (identity {resolved.identity})")


def _counted(problems: list[Problem], level: str) -> str:
    num = sum(problem.level == level for problem in problems)
    return f"{num} {level}" + ("" if num == 1 else "s")


def _answer(config: Config, problems: list[Problem], resolved: Resolved | None) -> dict[str, object]:
    return {
        "file": config.file,
        "experiment": config.name,
        "ok": resolved is not None,
        "identity": resolved.identity if resolved else None,
        "composes": resolved.composes if resolved else None,
        "problems": [vars(problem) for problem in problems],
    }
