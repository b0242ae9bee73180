"""How the elements of a sweep are: each by its run, and by what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from genever.launch import Condition, look
from genever.sweeps._manifest import Element, SweepDirectory

__all__ = ["conditions", "conditions_of"]

#: What became of a run that nothing can go on from.
_ENDS = {"failed": "failed", "lost": "is lost", "cancelled": "was cancelled", "stopped": "was stopped"}


def conditions(sweep: SweepDirectory) -> list[Condition]:
    """How each element is, from the runs' files and one question to each cluster. One that waits for
    what is over says so."""
    by_run = conditions_of(sweep, {})
    found: list[Condition] = []
    for element in sweep.elements:
        own = by_run.get(element.run) if element.run else None
        found.append(_with_parents(own, element, found))
    return found


def conditions_of(sweep: SweepDirectory, known: Mapping[str | None, Condition]) -> dict[str | None, Condition]:
    """How the runs of a sweep are, by their names; the cluster is asked about those that are not known."""
    runs = {element.run: run for element, run in sweep.runs() if element.run not in known}
    return {**known, **dict(zip(runs, look(list(runs.values())), strict=True))}


def _with_parents(own: Condition | None, element: Element, found: Sequence[Condition]) -> Condition:
    if own and own.kind not in ("created", "cancelled"):
        return own
    for key, number in element.parents.items():
        if (kind := found[number].kind) not in _ENDS:
            continue
        reason = f"its {key}, {number}, {_ENDS[kind]}"
        return replace(own, kind="cancelled", reason=reason) if own else Condition(kind="cancelled", reason=reason)
    return own or Condition(kind="created", reason="not submitted yet")
