"""How a sweep is: the whole at a glance, and every run that asks for attention."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from genever.command._columns import columns
from genever.launch import Condition
from genever.sweeps import Element, SweepDirectory, trials_of

__all__ = ["counted", "progress", "sweep_answer", "sweep_text"]

#: Rows of a sweep that are shown; of a larger one those that ask for attention.
_MOST_SHOWN = 40
#: The order in which runs are counted, and in which they ask for attention.
_KINDS = ("finished", "running", "starting", "queued", "queued again", "created", "failed", "lost", "stopped", "cancelled")
_URGENT = ("failed", "lost", "running", "starting", "stopped", "cancelled", "queued again", "created", "queued", "finished")


def sweep_text(sweep: SweepDirectory, found: Sequence[Condition]) -> str:
    """A line for the whole, one for each stage of a lifecycle, the best run of a search, and a table of runs."""
    stages = sweep.manifest.stages
    lines = [f"{sweep.name}: {counted(found)}"]
    if len(stages) > 1:
        of_stage = {stage.name: [found[one.number] for one in sweep.manifest.of_stage(stage.name)] for stage in stages}
        lines += [f"  {name}: {counted(kinds)}" for name, kinds in of_stage.items()]
    if best := _best(sweep, found):
        lines.append(f"  {best}")
    rows = list(zip(sweep.elements, found, strict=True))
    if len(rows) > _MOST_SHOWN:
        rows = sorted(rows, key=lambda row: _URGENT.index(row[1].kind))[:_MOST_SHOWN]
        rows = sorted((row for row in rows if row[1].kind != "finished"), key=lambda row: row[0].number)
    more = len(found) - len(rows)
    tail = [f"and {more} more, which --json lists"] if more else []
    return "\n".join([*lines, _table(sweep, rows), *tail])


def sweep_answer(sweep: SweepDirectory, found: Sequence[Condition]) -> dict[str, Any]:
    """The same for scripts."""
    elements = [
        {**dataclasses.asdict(element), **dataclasses.asdict(condition)}
        for element, condition in zip(sweep.elements, found, strict=True)
    ]
    return {"sweep": sweep.name, "path": str(sweep.path), "counts": Counter(one.kind for one in found), "elements": elements}


def counted(found: Iterable[Condition]) -> str:
    """How many are how, such as '3 finished, 1 running of 4'."""
    kinds = Counter(one.kind for one in found)
    return f"{', '.join(f'{kinds[kind]} {kind}' for kind in _KINDS if kinds[kind]) or 'no run yet'} of {kinds.total()}"


def progress(found: Condition) -> str:
    """Such as '120/500, 3:10 left'."""
    if found.step is None or found.kind == "finished":
        return ""
    left = "" if found.seconds_left is None else f", {_duration(found.seconds_left)} left"
    return f"{found.step}{f'/{found.total}' if found.total else ''}{left}"


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes}:{int(seconds % 60):02d}"


def _table(sweep: SweepDirectory, rows: Sequence[tuple[Element, Condition]]) -> str:
    keys = list(dict.fromkeys(key for stage in sweep.manifest.stages for key in stage.keys))
    named = len(sweep.manifest.stages) > 1
    head = ["#", *(["stage", "from"] if named else []), *keys, "is", "step", "job", ""]
    cells = [head]
    for element, condition in rows:
        lineage = [element.stage, ", ".join(map(str, element.after))] if named else []
        varied = [element.varied.get(key, "") for key in keys]
        said = [condition.kind, progress(condition), condition.job or "", _why(element, condition)]
        cells.append([str(element.number), *lineage, *varied, *said])
    return columns(cells, indent=0, widest=60)


def _why(element: Element, condition: Condition) -> str:
    """The reason in a sentence; where something went wrong, with the run that says more."""
    first = condition.reason.partition(". ")[0]
    return f"{first} ({element.run})" if condition.kind in ("failed", "lost") else first


def _best(sweep: SweepDirectory, found: Sequence[Condition]) -> str:
    """The best run of a search so far; '' where it is none, or nothing is known."""
    if sweep.manifest.metric is None:
        return ""
    name, direction = sweep.manifest.metric
    values = [(trial.value, trial) for trial in trials_of(sweep, found, name) if trial.value is not None]
    if not values:
        return ""
    value, trial = (min if direction == "minimize" else max)(values, key=lambda one: one[0])
    return f"best {name} {value:.6g}: {', '.join(f'{key} = {text}' for key, text in trial.drawn.items())}"
