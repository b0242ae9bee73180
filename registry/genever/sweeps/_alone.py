"""One process at a time submits into a root, and one drives a search. A killed process leaves no lock."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genever.errors import UserError

__all__ = ["alone_at", "alone_in", "is_driven"]


@contextmanager
def alone_in(root: Path) -> Iterator[None]:
    """Waits until nobody else submits a sweep into a root, and keeps others waiting meanwhile."""
    folder = root / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another process submits a sweep in {root}; waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            print(f"The file system of {root} knows no locks; submit one sweep at a time.", file=sys.stderr, flush=True)
        yield


@contextmanager
def alone_at(root: Path, name: str) -> Iterator[None]:
    """Keeps a second driver of the same search out.

    Raises:
        UserError: there is one.
    """
    file = _lock_of(root, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another process drives the search {name!r} already. Follow it with: genever status {name}"
            ) from error
        except OSError:
            print(f"The file system of {root} knows no locks; let no second process drive this search.", file=sys.stderr)
        yield


def is_driven(root: Path, name: str) -> bool:
    """Whether a process drives a search now. One on a file system that knows no locks is not seen."""
    with suppress(OSError), open(_lock_of(root, name), encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock_of(root: Path, name: str) -> Path:
    return root / "sweeps" / f".{name}.lock"
