"""From a resolved experiment to a run's directory that holds all that the run is."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genever.errors import UserError
from genever.runs._directory import RunDirectory, git_state

if TYPE_CHECKING:
    from genever.language import NamedRun, Resolved
    from genever.parts import Catalog

__all__ = ["create_run", "surroundings"]


def surroundings(catalog: Catalog, folder: Path) -> dict[str, Any]:
    """What a run remembers of where it was made: the commit of a folder, and versions."""
    return {
        "git": git_state(folder.resolve()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("genever", "torch", "gin-config", "diffusers", "peft")},
        "plugins": {report.name: report.version for report in catalog.reports if report.parts},
    }


def create_run(resolved: Resolved, root: Path, facts: Mapping[str, Any], *, awaits: Collection[str] = ()) -> RunDirectory:
    """Freezes a resolved experiment into a new run's directory.

    Args:
        facts: `surroundings`, and what else the run should remember.
        awaits: of the runs that it names, those that have to finish before it begins, as its bindings write them.

    Raises:
        UserError: a run that it needs has not run yet.
    """
    facts = {**facts, "experiment": resolved.name, "identity": resolved.identity}
    if resolved.note:
        raise UserError(resolved.note)
    if resolved.start is not None:
        facts["start"] = _lineage(resolved.start, awaits)
    facts["reads"] = {str(key): _lineage(named, awaits) for key, named in resolved.config.reads.items()}
    files = {"resolved.json": resolved.json, "resolved.gin": resolved.text}
    return RunDirectory.create(root, resolved.name, resolved.identity, facts, files)


def _lineage(named: NamedRun, awaits: Collection[str]) -> dict[str, Any]:
    assert named.run is not None
    origin = RunDirectory(named.run)
    facts = {"name": named.written, "run": str(origin.path.resolve()), "identity": origin.facts.get("identity")}
    return {**facts, "awaited": named.written in awaits}
