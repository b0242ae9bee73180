"""Room on the disk, so that a run can say why it failed when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress

from genever.runs import RunDirectory

__all__ = ["give_room", "keep_room"]

#: Bytes: run.json, failure.json, job.json and the end of the logs, each in blocks of a file system.
_ROOM = 1 << 16


def keep_room(run: RunDirectory) -> None:
    """Takes the room, or what there is of it."""
    with suppress(OSError), open(run.path / ".room", "wb", buffering=0) as file:
        file.write(os.urandom(_ROOM))  # A file system may press zeros together.


def give_room(run: RunDirectory) -> None:
    """Lets others have it. Where there is none, nothing happens."""
    (run.path / ".room").unlink(missing_ok=True)
