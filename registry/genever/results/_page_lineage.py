"""Which run each run of a page started from, what else it reads, and how its numbers came about."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from genever.results._chapters import Chapter
from genever.results._row import Row

__all__ = ["lifecycle_of", "page_lineage"]


def page_lineage(rows: Sequence[Row], numbers: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What the page knows of each row's origin, and the protocols that rows name by their places.

    Args:
        numbers: their names, such as 'fd', in the order of their places.
    """
    own = _places(rows)
    protocols: dict[str, int] = {}
    told = [
        {
            "from": _origin(row, row.facts.get("start"), own),
            "reads": {key: _origin(row, one, own) for key, one in _mapping(row.facts.get("reads")).items()},
            "q": {
                place: protocols.setdefault(str(said), len(protocols))
                for place, name in enumerate(numbers)
                if (said := _mapping(row.facts.get("protocols")).get(row.full_name(name) or ""))
            },
        }
        for row in rows
    ]
    return told, list(protocols)


def lifecycle_of(chapters: Sequence[Chapter]) -> list[Row]:
    """The best run of the last stage that has finished, and what it goes back to: the first one first. [] = nothing does."""
    rows = [row for chapter in chapters for row in chapter.rows]
    own = _places(rows)
    later = [row for chapter in reversed(chapters) for row in chapter.rows if _start(row, own) is not None]
    found = [row for row in later if row.is_finished][:1] or later[:1]
    while found and (place := _start(found[0], own)) is not None and rows[place] not in found:
        found.insert(0, rows[place])
    return found


def _start(row: Row, own: Mapping[str, int]) -> int | None:
    """The place of the run that a row started from; None where it is none of these."""
    place = _origin(row, row.facts.get("start"), own)
    return place if isinstance(place, int) else None


def _places(rows: Sequence[Row]) -> dict[str, int]:
    """Of the first row of each run, by its path; none where no run started from another."""
    if not any(row.facts.get("start") or row.facts.get("reads") for row in rows):
        return {}
    found: dict[str, int] = {}
    for place, row in enumerate(rows):
        if row.run:
            found.setdefault(os.path.realpath(row.run.path), place)
    return found


def _origin(row: Row, named: Any, own: Mapping[str, int]) -> int | str | None:
    """The place of a run that a row named, or what it is called where it is none of these."""
    facts = _mapping(named)
    path = str(facts.get("run", ""))
    if not path:
        return None
    places = (own[one] for one in chain([path], _moved(path, row)) if one in own)
    return next(places, str(facts.get("name") or path))


def _moved(path: str, row: Row) -> Iterator[str]:
    """Where a run that is named by its path lies if the folder of all runs was moved, with the run that names it."""
    parts, depth = Path(path).parts, len(PurePosixPath(str(row.facts.get("experiment", ""))).parts)
    above = Path(os.path.realpath(row.run.path)).parents if row.run else ()
    for root in above[depth : depth + 1]:
        yield from (str(root.joinpath(*parts[first:])) for first in range(1, len(parts)))


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}
