"""`genever explain FILE [KEY]`: where each value comes from, what it replaced, what it means."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from genever.command._columns import columns, paragraph
from genever.command._experiment import add_experiment_arguments
from genever.language import Explanation, check, explain, read
from genever.parts import load_catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment_arguments(parser)
    parser.add_argument("key", nargs="?", metavar="KEY", help="a parameter, a part or a macro; nothing = all values")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    """Prints the values. A file with errors is explained as far as it can be read, and gives exit code 2."""
    catalog = load_catalog()
    config = read(arguments.file, arguments.binding, catalog=catalog, runs_root=arguments.root)
    errors = [problem for problem in check(config, catalog) if problem.level == "error"]
    for problem in errors:
        print(problem, file=sys.stderr)
    if not errors or config.bindings:
        found = explain(config, catalog, arguments.key)
        if arguments.json:
            print(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
        else:
            print("\n\n".join(map(_page, found)) if arguments.key else _table(found))
    return 2 if errors else 0


def _table(found: list[Explanation]) -> str:
    lines = [f"{one.key} = {_value(one)}" for one in found]
    width = min(max(map(len, lines)), 60)
    return "\n".join(f"{line:<{width}}  # {_from(one)}" for line, one in zip(lines, found, strict=True))


def _value(one: Explanation) -> str:
    return "not set" if one.value is None else one.value


def _from(one: Explanation) -> str:
    where = {"default": "default", "start": f"start, {one.place}"}.get(one.origin, one.place)
    via = [f"%{name} at {place}" for name, place in one.macros]
    return ", ".join([where, *via, *(f"replaced {value} of {place}" for value, place in one.replaced[-1:])])


def _page(one: Explanation) -> str:
    rows = [("from", _from(dataclasses.replace(one, replaced=())))]
    rows += [("replaced", f"{value} of {place}") for value, place in reversed(one.replaced)]
    rows += [("effect", "none: nothing that train reaches gets it")] if not one.has_effect else []
    rows += [("type", one.wanted)] if one.wanted else []
    rows += [("default", one.default or "none, it must be set")] if one.annotation else []
    rows += [("meaning", one.meaning)] if one.meaning else []
    return f"{paragraph(f'{one.key} = {_value(one)}', indent=0)}\n{columns(rows)}"
