"""`genever parts`: every part, those of one slot, or one part with all that it says of itself."""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from genever.command._columns import columns
from genever.errors import UserError
from genever.parts import BrokenPartError, Catalog, Surface, load_catalog
from genever.slots import SLOTS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", metavar="SLOT | SLOT.NAME", help="a slot, a part, or 'train', the stage; nothing = all parts"
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON, for scripts")


def run(arguments: argparse.Namespace) -> int:
    catalog = load_catalog()
    what = arguments.what
    if what is None or what in SLOTS:
        names = [name for name in catalog.names() if what in (None, name.partition(".")[0])]
        print(_json([_described(catalog, name) for name in names]) if arguments.json else _listing(catalog, what, names))
        _warn(catalog)
        return 0
    name = "train" if what == "train" else _meant(catalog, what)
    surface = catalog.stage if name == "train" else catalog.surface(name)
    from genever.command._part_page import example, page

    answer = _json({**_described(catalog, name), "example": example(catalog, surface)})
    print(answer if arguments.json else page(catalog, surface))
    return 0


def _meant(catalog: Catalog, what: str) -> str:
    names = catalog.find(what)
    if len(names) == 1:
        return names[0]
    if names:
        raise UserError(f"{what!r} could mean {' or '.join(names)}. Give the full name.")
    failed = "".join(f"\nThe {report} failed to load: {report.reason}" for report in catalog.broken(what))
    raise UserError(f"There is no part or slot {what!r}. {_nearest(catalog, what)}{failed}")


def _nearest(catalog: Catalog, what: str) -> str:
    bare = {name.partition(".")[2].lower(): name for name in catalog.names()}
    known = {**bare, **{name.lower(): name for name in (*catalog.names(), *SLOTS, "train")}}
    near = difflib.get_close_matches(what.lower(), known, n=1)
    return f"Did you mean {known[near[0]]}?" if near else "`genever parts` lists them all."


def _listing(catalog: Catalog, slot: str | None, names: Sequence[str]) -> str:
    blocks = []
    for one in SLOTS if slot is None else (slot,):
        rows = [(name, _line(catalog, name)) for name in names if name.startswith(f"{one}.")]
        if rows or slot:
            blocks.append(f"{one}: {_purpose(one)}\n{columns(rows) if rows else '  No plugin provides one.'}")
    return "\n\n".join(blocks) or "No plugin provides a part. `genever plugins` says what became of each."


def _line(catalog: Catalog, name: str) -> str:
    try:
        summary = catalog.surface(name).summary
    except BrokenPartError as error:
        summary = f"broken: {error.__cause__}"
    stranger = catalog.provider(name)
    return summary if stranger.distribution == "genever" else f"{summary} [{stranger.name}]"


def _purpose(slot: str) -> str:
    from genever.parts._cache import cached_surface

    return cached_surface(f"genever.slots:{slot.capitalize()}", name=slot, slot=slot).summary


def _described(catalog: Catalog, name: str) -> dict[str, Any]:
    provider = {} if name == "train" else {"plugin": str(catalog.provider(name))}
    try:
        surface: Surface = catalog.stage if name == "train" else catalog.surface(name)
    except BrokenPartError as error:
        return {"name": name, **provider, "broken": str(error.__cause__)}
    return {**asdict(surface), **provider}


def _warn(catalog: Catalog) -> None:
    failed = [report.name for report in catalog.reports if report.status == "failed"]
    if failed:
        print(f"Failed to load: {', '.join(failed)}. See `genever plugins`.", file=sys.stderr)


def _json(answer: object) -> str:
    return json.dumps(answer, indent=2, ensure_ascii=False)
