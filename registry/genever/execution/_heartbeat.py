"""Signs of life of a run, and the wish of another process to take it over."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from genever.execution._signals import Ask, Asked
from genever.runs import RunDirectory, write_whole

__all__ = ["Heartbeat", "beating"]

_EVERY_S = 5.0


class Heartbeat:
    """What is said of a run while it lives.

    Attributes:
        first: the step from which this start goes on. step: steps taken, over all rounds. total: of all that there are.
    """

    def __init__(self, run: RunDirectory, attempt: str, *, first: int, total: int) -> None:
        self.run = run
        self.attempt = attempt
        self.first = self.step = first
        self.total = total

    def beat(self) -> None:
        said = {
            "time": time.time(),
            "first": self.first,
            "step": self.step,
            "total": self.total,
            "host": platform.node(),
            "pid": os.getpid(),
            "attempt": self.attempt,
        }
        write_whole(self.run.heartbeat, json.dumps(said) + "\n")


@contextmanager
def beating(heartbeat: Heartbeat | None, asked: Asked) -> Iterator[None]:
    """Beats every few seconds in a thread; where another attempt wants the run, this one is asked to leave it.

    Args:
        heartbeat: None = this process does not speak for the run.
    """
    if heartbeat is None:
        yield
        return
    over = threading.Event()

    def live() -> None:
        while not over.wait(_EVERY_S):
            try:
                heartbeat.beat()
                if heartbeat.attempt and heartbeat.run.owner != heartbeat.attempt:
                    asked.add(Ask.LEAVE)
            except OSError:
                continue  # A full disk is told by what has to be written.

    heartbeat.beat()
    thread = threading.Thread(target=live, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
