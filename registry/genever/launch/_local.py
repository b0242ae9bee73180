"""A cluster of kind local."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genever.launch._cluster import Job, JobState
from genever.launch._profile import Profile

__all__ = ["LocalQueue"]


@dataclass(frozen=True)
class LocalQueue:
    """To come."""

    profile: Profile
    root: Path
    code: Path | None = None

    def submit(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
        raise NotImplementedError

    def states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        raise NotImplementedError

    def cancel(self, ids: Collection[str]) -> None:
        raise NotImplementedError
