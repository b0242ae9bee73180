"""Results for other programs: everything, under full names."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from typing import Any

from genever.results._chapters import Chapter
from genever.results._gather import Table
from genever.results._groups import groups_in_order
from genever.results._names import legible
from genever.results._row import Row

__all__ = ["as_csv", "as_json"]

_OWN = ("number", "stage", "run", "experiment", "identity", "condition", "reason", "step", "total", "started", "ended")
_OF_FACTS = ("identity", "started", "ended", "created", "host", "device", "processes", "git")


def as_csv(chapters: Sequence[Chapter]) -> str:
    """A line for each run; 'nan' stands for what is not finite, and nothing for what is not there."""
    rows = [row for chapter in chapters for row in chapter.rows]
    keys = list(dict.fromkeys(key for row in rows for key in row.varied))
    names = list(dict.fromkeys(name for row in rows for name in row.numbers))
    lines = [_line([*_OWN, *keys, *names])]
    for row in rows:
        own = [_fact(row, name) for name in _OWN]
        numbers = [_number(row.numbers[name]) if name in row.numbers else "" for name in names]
        lines.append(_line([*own, *(row.varied.get(key, "") for key in keys), *numbers]))
    return legible("".join(lines))


def as_json(table: Table, chapters: Sequence[Chapter], *, by_seed: bool = False) -> dict[str, Any]:
    """Everything; null stands for what is not finite.

    Args:
        by_seed: whether runs that differ in their seeds alone are one entry, with means over those that finished.
    """
    return {
        "name": table.name,
        "sweep": table.sweep.manifest.file if table.sweep else None,
        "root": str(table.root.absolute()),
        "stages": [
            {
                "stage": chapter.stage,
                "metric": chapter.metric.name or None,
                "best": "highest" if chapter.metric.highest else "lowest",
                **({"groups": _groups(chapter)} if by_seed else {"runs": list(map(_run, chapter.rows))}),
            }
            for chapter in chapters
        ],
    }


def _line(cells: Sequence[object]) -> str:
    """A line of CSV. Only signs of the writer's own line end are quoted, so it has to be both, whatever ours is."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _run(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "run": str(row.run.path) if row.run else None,
        "name": row.name or None,
        "experiment": row.facts.get("experiment"),
        "condition": dataclasses.asdict(row.condition),
        "step": row.step,
        "varied": dict(row.varied),
        "results": dict(row.results),
        "scalars": dict(row.scalars),
        **{name: row.facts.get(name) for name in _OF_FACTS},
    }


def _groups(chapter: Chapter) -> list[dict[str, Any]]:
    found = []
    for group in groups_in_order(chapter.rows, chapter.metric):
        names = dict.fromkeys(name for row in group.rows for name in row.numbers)
        spreads = {name: spread for name in names if (spread := group.spread(name))}
        found.append(
            {
                "varied": dict(group.varied),
                "numbers": [row.number for row in group.rows],
                "runs": [row.name or None for row in group.rows],
                "finished": group.num_finished,
                "results": {name: dataclasses.asdict(spread) for name, spread in spreads.items()},
            }
        )
    return found


def _fact(row: Row, name: str) -> object:
    own: dict[str, object] = {
        "number": row.number,
        "stage": row.stage,
        "run": row.run.path if row.run else None,
        "condition": row.condition.kind,
        "reason": row.condition.reason,
        "step": row.step,
        "total": row.condition.total,
    }
    found = own[name] if name in own else row.facts.get(name)
    return "" if found is None else found


def _number(value: float | None) -> str:
    return "nan" if value is None else repr(value)
