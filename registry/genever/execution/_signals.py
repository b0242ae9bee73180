"""What a run is asked from outside. A handler only notes it; all processes agree on it at the end of a step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

__all__ = ["Ask", "Asked", "listening"]


class Ask(IntEnum):
    """What to do once the step is done and saved; the largest number that any process was asked counts."""

    #: Nothing: go on.
    NOTHING = 0
    #: Stop, and do not start again.
    STOP = 1
    #: Leave, to be started again: the time is up, or somebody more urgent needs the place. A SIGTERM that follows when the
    #: time of grace is over changes nothing.
    REQUEUE = 2
    #: Leave the run to another process that goes on with it.
    LEAVE = 3


class Asked:
    """The most that was asked so far."""

    def __init__(self) -> None:
        self.most = Ask.NOTHING

    def add(self, ask: Ask) -> None:
        self.most = max(self.most, ask)


_SIGNALS = {
    signal.SIGINT: Ask.STOP,
    signal.SIGTERM: Ask.STOP,
    signal.SIGUSR1: Ask.REQUEUE,
    signal.SIGUSR2: Ask.REQUEUE,
}


@contextmanager
def listening(asked: Asked) -> Iterator[None]:
    """Notes signals while this is open."""
    before = {kind: signal.signal(kind, lambda number, frame, ask=ask: asked.add(ask)) for kind, ask in _SIGNALS.items()}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
