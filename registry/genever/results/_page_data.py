"""All that a page of results knows, as plain data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genever.errors import shown_path
from genever.results._chapters import Chapter
from genever.results._failures import failures, retry_commands
from genever.results._gather import Table
from genever.results._limits import Limits
from genever.results._metric import better_ends, end_of
from genever.results._names import SEED, clipped, short_results, short_values
from genever.results._page_curves import page_curves
from genever.results._page_lineage import lifecycle_of, page_lineage
from genever.results._page_pictures import page_pictures
from genever.results._row import Row
from genever.results._sheet import column_names, differing, results_shown

__all__ = ["page_data"]


def page_data(table: Table, chapters: Sequence[Chapter], limits: Limits) -> dict[str, Any]:
    """The runs of all stages with what varied and what was measured, and what belongs to them."""
    kept = _kept(chapters, limits.runs)
    rows = [row for chapter in kept for row in chapter.rows]
    names, curves, (pictures, of_pictures) = _Names(kept), page_curves(kept, limits), page_pictures(kept, limits)
    stages = [_stage(chapter, names) for chapter in kept]
    told, of_failures = _failures(rows, limits)
    origins, protocols = page_lineage(rows, list(names.places))
    stage_of = [stage for stage, chapter in enumerate(kept) for _ in chapter.rows]
    runs = [
        {**_run(row, stage, names), **origin, "c": curves.of_rows.get(id(row), []), "p": pictures.get(id(row))}
        for row, stage, origin in zip(rows, stage_of, origins, strict=True)
    ]
    num, lifecycle, better = len(table.rows), lifecycle_of(kept), better_ends(rows)
    notes = {
        "runs": f"The page carries {len(rows):,} of {num:,} runs, the best; --csv has all." * (len(rows) < num),
        "axes": f"Only the first {limits.axes} bindings have an axis."
        * any(len(one["keys"]) > limits.axes for one in stages),
        "curves": curves.note,
        "pictures": of_pictures,
        "failures": of_failures,
    }
    return {
        "title": table.name,
        "subtitle": f"{num:,} run{'s' * (num != 1)} of {', '.join(table.experiments) or 'nothing'}",
        "made": f"Read from {shown_path(table.root)} at {_now()}.",
        "facts": _facts(table),
        "file": _sweep_text(table, limits),
        "stages": stages,
        "keys": [{"full": key, "seed": key.rpartition(":")[2] == SEED} for key in names.keys],
        "numbers": [
            {"full": " or ".join(full), "name": names.titles.get(name, name), "better": end_of(full[0], better)}
            for name, full in names.numbers.items()
        ],
        "protocols": protocols,
        "lifecycle": next((place for place, row in enumerate(rows) if lifecycle and row is lifecycle[-1]), None),
        "scalars": curves.scalars,
        "runs": runs,
        "failures": told,
        "retry": _first(retry_commands(table, rows), 20),
        "notes": notes,
        "limits": {"axes": limits.axes},
    }


class _Names:
    """What varied and what was measured, each once for all stages, and its place.

    A number goes by a name that `Row.value` knows: 'fd' is each run's own, whichever of its weights gave it.
    """

    def __init__(self, chapters: Sequence[Chapter]) -> None:
        rows = [row for chapter in chapters for row in chapter.rows]
        keys = dict.fromkeys(key for chapter in chapters for key in differing(chapter.rows))
        losses = dict.fromkeys(row.loss for row in rows if row.loss)
        self.numbers, self.places = dict[str, list[str]](), dict[str, int]()
        for name in (*short_results(row.results for row in rows).values(), *losses):
            self._add(rows, name)
        for chapter in chapters:
            for name in results_shown(chapter.rows, chapter.metric):
                if self.place(chapter.rows, name) is None:
                    self._add(rows, name)
        self.titles = {name: "loss" for name in losses if len(losses) == 1}
        self.keys = list(keys)
        self.key_places = {key: place for place, key in enumerate(self.keys)}
        self.values = {key: short_values({row.varied[key] for row in rows if key in row.varied}) for key in keys}

    def place(self, rows: Sequence[Row], name: str) -> int | None:
        """Of the number that says the same of all these rows as a name does; None where there is none."""
        if name in self.places:
            return self.places[name]
        meant = [row.full_name(name) for row in rows]
        same = (place for known, place in self.places.items() if [row.full_name(known) for row in rows] == meant)
        return next(same, None) if any(meant) else None

    def _add(self, rows: Sequence[Row], name: str) -> None:
        """A number of these rows, if any has it."""
        if found := dict.fromkeys(full for row in rows if (full := row.full_name(name))):
            self.numbers[name] = list(found)
            self.places.setdefault(name, len(self.places))


def _kept(chapters: Sequence[Chapter], most: int) -> list[Chapter]:
    num = sum(len(chapter.rows) for chapter in chapters)
    if num <= most:
        return list(chapters)
    shares = {chapter.stage: most * len(chapter.rows) // num for chapter in chapters}
    return [
        Chapter(stage=one.stage, rows=one.rows[: shares[one.stage]], metric=one.metric, order=one.order) for one in chapters
    ]


def _stage(chapter: Chapter, names: _Names) -> dict[str, Any]:
    shown = [names.place(chapter.rows, name) for name in results_shown(chapter.rows, chapter.metric)]
    return {
        "name": chapter.stage,
        "keys": [names.key_places[key] for key in differing(chapter.rows)],
        "titles": list(column_names(chapter.rows, chapter.metric).values()),
        "metric": names.place(chapter.rows, chapter.metric.name),
        "highest": chapter.metric.highest,
        "experiments": len({row.name.rpartition("/")[0] for row in chapter.rows if row.name}),
        "numbers": list(dict.fromkeys(place for place in shown if place is not None)),
    }


def _run(row: Row, stage: int, names: _Names) -> dict[str, Any]:
    numbers = {place: row.value(name) for name, place in names.places.items() if row.full_name(name)}
    return {
        "n": row.number,
        "s": stage,
        "name": row.name,
        "kind": row.condition.kind,
        "why": clipped(row.condition.reason, 300),
        "step": row.step,
        "total": row.condition.total,
        "v": [names.values[key].get(row.varied.get(key, "")) for key in names.keys],
        "r": {place: "nan" if value is None else value for place, value in numbers.items()},
    }


def _failures(rows: Sequence[Row], limits: Limits) -> tuple[list[dict[str, Any]], str]:
    found = failures(rows)
    num_left_out = max(len(found) - limits.failures, 0)
    places = {id(row): place for place, row in enumerate(rows)}
    told = [
        {
            "kind": one.kind,
            "reason": one.reason[: limits.text],
            "runs": [places[id(row)] for row in one.rows[:20]],
            "num": len(one.rows),
        }
        for one in found[: limits.failures]
    ]
    return told, f"{num_left_out} more reasons are left out; --json has all." * bool(num_left_out)


def _facts(table: Table) -> list[tuple[str, str]]:
    """What stands in the header, as names and texts."""
    commits = Counter(_commit(row) for row in table.rows if row.run)
    devices = Counter(str(row.facts["device"]) for row in table.rows if row.facts.get("device"))
    torch = Counter(str(found) for row in table.rows if (found := (row.facts.get("versions") or {}).get("torch")))
    facts = [("sweep file", shown_path(Path(table.sweep.manifest.file)))] if table.sweep else []
    facts.append(("runs below", shown_path(table.root)))
    facts += [("commit", _counted(commits))] if commits else []
    facts += [("device", _counted(devices))] if devices else []
    facts += [("torch", _counted(torch))] if torch else []
    return [*facts, ("data of", _now())]


def _commit(row: Row) -> str:
    git = row.facts.get("git") or {}
    return f"{str(git.get('commit', 'none'))[:12]}{', with changes' if git.get('dirty') else ''}"


def _counted(found: Counter[str]) -> str:
    if len(found) == 1:
        return next(iter(found))
    more = f"; and {len(found) - 4} others" if len(found) > 4 else ""
    return "; ".join(f"{name} ({num} runs)" for name, num in found.most_common(4)) + more


def _sweep_text(table: Table, limits: Limits) -> str | None:
    try:
        return table.sweep.file.read_text(encoding="utf-8", errors="replace")[: limits.text] if table.sweep else None
    except OSError:
        return None


def _first(commands: list[str], most: int) -> list[str]:
    return commands if len(commands) <= most else [*commands[:most], f"# and {len(commands) - most} more"]


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M %Z")
