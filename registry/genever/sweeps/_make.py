"""Runs for the elements of a sweep: those that are missing are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genever.runs import create_run
from genever.sweeps._compose import Composer, start_binding
from genever.sweeps._index import RunIndex
from genever.sweeps._manifest import Element, StageRecord, SweepDirectory

__all__ = ["make_runs"]


def make_runs(
    sweep: SweepDirectory,
    stage: StageRecord,
    elements: Iterable[Element],
    composer: Composer,
    facts: Mapping[str, Any],
) -> SweepDirectory:
    """Gives each element of a stage a run: the one there is of its identity, or a new one. What it starts from has a run.

    Args:
        facts: what a new run remembers, beside the sweep's name.

    Returns:
        The sweep as it is then.
    """
    index, known = RunIndex(sweep.root), dict[str, str]()
    given: dict[int, Element] = {}
    for element in elements:
        if sweep.run_of(element):
            continue
        start = sweep.elements[element.start].run if element.start is not None else None
        bindings = [*element.bindings, *([start_binding(start)] if start else [])]
        resolved = composer.freeze(Path(stage.file), bindings)
        if resolved.identity not in known:
            found = index.find(resolved.name, resolved.identity)
            told = {**facts, "sweep": sweep.name}
            run = found or create_run(resolved, sweep.root, told, awaits_start=start is not None)
            known[resolved.identity] = f"{resolved.name}/{run.path.name}"
        given[element.number] = replace(element, identity=resolved.identity, run=known[resolved.identity])
    if not given:
        return sweep
    everything = tuple(given.get(element.number, element) for element in sweep.elements)
    return sweep.write(replace(sweep.manifest, elements=everything))
