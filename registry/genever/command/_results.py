"""`genever results SWEEP`: one table of what came out, and one page."""

from __future__ import annotations

import argparse
import json
import sys
import webbrowser
from functools import partial
from pathlib import Path

from genever.command._columns import terminal_width
from genever.errors import UserError, shown_path
from genever.results import Table, as_csv, as_json, chapters_of, gather, page, results_text
from genever.runs import write_whole

__all__ = ["add_arguments", "run"]

_DEFAULT = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="SWEEP", help="a sweep's name, folder or file; an experiment's name; or a folder with runs in it"
    )
    parser.add_argument("--root", default="runs", help="where runs live (default: %(default)s)")
    parser.add_argument("--metric", metavar="NAME", help="the number that says which run is best, such as fd or raw/fd")
    parser.add_argument("--maximize", action="store_true", help="the highest is best, where no metric says which end is")
    parser.add_argument("--sort", metavar="NAME", help="sort by a column in place of best first")
    parser.add_argument("--descending", action="store_true", help="turn the order around")
    parser.add_argument("--group-seeds", action="store_true", help="mean and standard deviation over seeds")
    parser.add_argument("--csv", metavar="FILE", help="write everything as CSV, under full names; - is standard output")
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")
    parser.add_argument(
        "--html",
        metavar="FILE",
        nargs="?",
        const=_DEFAULT,
        help="write one page with curves and pictures that needs no network (default: results.html in the sweep's folder, "
        "or here)",
    )
    parser.add_argument("--open", action="store_true", help="write that page, and open it in a browser")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table, and writes what files are asked for."""
    table = gather(arguments.name, Path(arguments.root))
    ranked = partial(chapters_of, table, metric=arguments.metric, highest=arguments.maximize)
    chapters = ranked(by=arguments.sort, descending=arguments.descending)
    if arguments.csv not in (None, "-"):
        _write(Path(arguments.csv), as_csv(chapters))
    if arguments.html is not None or arguments.open:
        file = _page_file(table, arguments.html or _DEFAULT)
        _write(file, page(table, ranked()))  # It carries the best of very many, and is sorted by its reader.
        if arguments.open and not webbrowser.open(file.absolute().as_uri()):
            print(f"there is no browser here; open {shown_path(file)} where there is one", file=sys.stderr)
    if arguments.csv == "-":
        print(as_csv(chapters), end="")
    elif arguments.json:
        print(json.dumps(as_json(table, chapters, by_seed=arguments.group_seeds), indent=1, allow_nan=False))
    else:
        print(results_text(table, chapters, width=terminal_width(), by_seed=arguments.group_seeds))
    return 0


def _page_file(table: Table, asked: str) -> Path:
    if asked != _DEFAULT:
        return Path(asked)
    return (table.sweep.path if table.sweep else Path()) / "results.html"


def _write(file: Path, text: str) -> None:
    if file.is_dir():
        raise UserError(f"{str(file)!r} is a folder. Name a file.")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)
    print(f"wrote {shown_path(file)}", file=sys.stderr)
