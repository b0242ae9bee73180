"""The runs that somebody has to look at, with the reason, and the command that tries them again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from genever.errors import shown_path
from genever.results._gather import Table
from genever.results._row import Row

__all__ = ["Failure", "failures", "retry_commands"]


@dataclass(frozen=True)
class Failure:
    """Runs that ended for the same reason, word for word; in it RUN stands for each one's own directory."""

    kind: str
    reason: str
    rows: tuple[Row, ...]


def failures(rows: Sequence[Row]) -> list[Failure]:
    """In the order of the first run of each."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.has_failed:
            found.setdefault((row.condition.kind, _reason(row)), []).append(row)
    return [Failure(kind, reason, tuple(those)) for (kind, reason), those in found.items()]


def retry_commands(table: Table, rows: Sequence[Row]) -> list[str]:
    """What to type to try the failed ones of some runs again: one line for a whole sweep, else one for each run."""
    failed = [row for row in rows if row.has_failed]
    if not failed:
        return []
    if table.sweep:
        root = shown_path(table.root)
        return [shlex.join(["genever", "retry", table.name, *([] if root == "runs" else ["--root", root])])]
    paths = [(row.condition.job, shown_path(row.run.path)) for row in failed if row.run]
    return [shlex.join(["genever", "retry" if job else "resume", path]) for job, path in paths]


def _reason(row: Row) -> str:
    """The reason, with RUN for the run's directory, however it is written."""
    return re.sub(rf"[^\s'\"]*{re.escape(row.name)}", "RUN", row.condition.reason) if row.name else row.condition.reason
