"""The runs of a root by their identity: what is there is not done again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from genever.runs import RunDirectory

__all__ = ["RunIndex"]

#: A run that has finished is worth more than one that may, and that more than one that failed.
_WORTH = {"finished": 2, "failed": 0}


class RunIndex:
    """Finds runs by identity. Each folder is listed once, so an index is as old as its first answer.

    Args:
        root: where the runs are.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed = cache(self._list)

    def find(self, experiment: str, identity: str) -> RunDirectory | None:
        """The run with an identity: of several the best, then the newest; None = there is none."""
        folder = self.root / experiment
        found = [RunDirectory(folder / name) for name in self._listed(folder).get(identity[:8], ())]
        legible = [(run, run.facts) for run in found if run.is_legible]
        same = [(run, facts) for run, facts in legible if facts.get("identity") == identity]
        best = max(same, key=lambda one: (_WORTH.get(one[1]["status"], 1), one[1].get("created", 0)), default=None)
        return best[0] if best else None

    def _list(self, folder: Path) -> dict[str, list[str]]:
        """The names of a folder's runs by the beginning of their identity, which is the second part of 'TIME-IDENTITY'."""
        by_identity: dict[str, list[str]] = {}
        for name in sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ():
            parts = name.split("-")
            if len(parts) >= 3:
                by_identity.setdefault(parts[2], []).append(name)
        return by_identity
