"""Which run each run of a page started from, what else it reads, and how its numbers came about."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
            "from": _origin(row.facts.get("start"), own),
            "reads": {key: _origin(one, own) for key, one in _mapping(row.facts.get("reads")).items()},
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
    later = [row for chapter in reversed(chapters) for row in chapter.rows if _is_place(row, own)]
    found = [row for row in later if row.is_finished][:1] or later[:1]
    while found and _is_place(found[0], own) and (before := rows[own[found[0].facts["start"]["run"]]]) not in found:
        found.insert(0, before)
    return found


def _is_place(row: Row, own: Mapping[str, int]) -> bool:
    return isinstance(_origin(row.facts.get("start"), own), int)


def _places(rows: Sequence[Row]) -> dict[str, int]:
    """Of the first row of each run, by its path; none where no run started from another."""
    if not any(row.facts.get("start") or row.facts.get("reads") for row in rows):
        return {}
    found: dict[str, int] = {}
    for place, row in enumerate(rows):
        if row.run:
            found.setdefault(os.path.realpath(row.run.path), place)
    return found


def _origin(named: Any, own: Mapping[str, int]) -> int | str | None:
    """The place of a run that was named, or what it is called where it is none of these."""
    facts = _mapping(named)
    path = str(facts.get("run", ""))
    return own.get(path, str(facts.get("name") or path)) if path else None


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}
