"""`genever check FILE`: every mistake of a gin file, in a second and without importing torch."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from genever.command._experiment import add_experiment_arguments
from genever.language import Config, Problem, Resolved, check, read, resolve
from genever.parts import Catalog, load_catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="take warnings for errors")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    parser.add_argument("--build", action="store_true", help="also build the networks without their memory, and count them")
    parser.add_argument("--preflight", action="store_true", help="also take two real steps, save, resume and sample")
    parser.add_argument("--device", help="where --preflight runs, such as cuda:1 or cpu (default: a GPU where there is one)")


def run(arguments: argparse.Namespace) -> int:
    """Prints problems to standard error, and what the file composes to standard output."""
    catalog = load_catalog()
    config = read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root)
    problems = check(config, catalog)
    wrong = any(problem.level == "error" or arguments.strict for problem in problems)
    resolved = None if wrong else resolve(config, catalog)
    if not arguments.json:
        _print_problems(config, problems)
    report = _report(arguments, resolved, catalog) if resolved else []
    if arguments.json:
        print(json.dumps(_answer(config, problems, resolved, report), indent=1))
    elif resolved:
        print(f"ok {config.file}: {resolved.composes} (identity {resolved.identity})", *report, sep="\n")
    return 2 if wrong else 0


def _report(arguments: argparse.Namespace, resolved: Resolved, catalog: Catalog) -> list[str]:
    """What going further than reading the file finds."""
    lines: list[str] = []
    if arguments.build:
        from genever.command._preflight import build_report

        lines += build_report(resolved, catalog, Path(arguments.root))
    if arguments.preflight:
        from genever.command._preflight import preflight
        from genever.execution import pick_device

        lines += preflight(resolved, catalog, pick_device(arguments.device), Path(arguments.root))
    return lines


def _print_problems(config: Config, problems: list[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(f"{config.file}: {_counted(problems, 'error')}, {_counted(problems, 'warning')}", file=sys.stderr)


def _counted(problems: list[Problem], level: str) -> str:
    num = sum(problem.level == level for problem in problems)
    return f"{num} {level}" + ("" if num == 1 else "s")


def _answer(config: Config, problems: list[Problem], resolved: Resolved | None, report: list[str]) -> dict[str, object]:
    return {
        "file": config.file,
        "experiment": config.name,
        "ok": resolved is not None,
        "identity": resolved.identity if resolved else None,
        "composes": resolved.composes if resolved else None,
        "problems": [vars(problem) for problem in problems],
        "report": report,
    }
