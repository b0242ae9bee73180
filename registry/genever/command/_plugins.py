"""`genever plugins`: every plugin that is installed, and what became of it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from genever.command._columns import columns, paragraph
from genever.parts import Catalog, load_catalog

if TYPE_CHECKING:
    import argparse

    from genever.parts import PluginReport

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    parser.epilog = (
        "GENEVER_PLUGINS=acme,other loads these alone beside Genever's own; GENEVER_PLUGINS==acme,genever-loss these alone."
    )


def run(arguments: argparse.Namespace) -> int:
    catalog = load_catalog()
    broken = {report: catalog.broken_parts(report) for report in catalog.reports}
    if arguments.json:
        answer = [{**asdict(report), "broken_parts": broken[report]} for report in catalog.reports]
        json.dump(answer, sys.stdout, indent=2, ensure_ascii=False)
        print()
        return 0
    print(_table(catalog))
    for report in catalog.reports:
        for problem in _problems(report, broken[report]):
            print(f"\n{problem}")
    return 0


def _table(catalog: Catalog) -> str:
    rows = [("PLUGIN", "VERSION", "DISTRIBUTION", "STATUS", "IMPORT", "PARTS")]
    for report in catalog.reports:
        seconds = f"{report.seconds * 1e3:6.1f} ms" if report.status == "loaded" else ""
        parts = ", ".join(report.parts)
        rows.append((report.name, report.version, report.distribution, report.status, seconds, parts))
    return columns(rows, indent=0)


def _problems(report: PluginReport, broken: dict[str, str]) -> list[str]:
    found = [f"The part {name} of {report} is broken.\n{paragraph(reason)}" for name, reason in broken.items()]
    if report.status == "failed":
        found.append(f"The {report} failed to load.\n{paragraph(report.reason)}")
    return found
