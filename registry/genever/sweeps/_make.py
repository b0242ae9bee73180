"""Runs for the elements of a sweep: those that are missing are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from genever.runs import create_run
from genever.sweeps._compose import Composer, naming
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
    """Gives each element of a stage a run: the one there is of its identity, or a new one. Its parents have runs.

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
        parents = {key: sweep.elements[number].run or "" for key, number in element.parents.items()}
        bindings = [*element.bindings, *(naming(key, run) for key, run in parents.items())]
        resolved = composer.freeze(Path(stage.file), bindings)
        if resolved.identity not in known:
            found = index.find(resolved.name, resolved.identity)
            told = {**facts, "sweep": sweep.name}
            run = found or create_run(resolved, sweep.root, told, awaits=parents.values())
            known[resolved.identity] = f"{resolved.name}/{run.path.name}"
        given[element.number] = replace(element, identity=resolved.identity, run=known[resolved.identity])
    if not given:
        return sweep
    everything = tuple(given.get(element.number, element) for element in sweep.elements)
    return sweep.write(replace(sweep.manifest, elements=everything))
