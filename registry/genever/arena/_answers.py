"""What people answered, in a file to which lines are only added."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection
from pathlib import Path
from threading import Lock
from typing import Literal

from genever.arena._bout import Bout

__all__ = ["Answer", "Answers"]

Answer = Literal["left", "right", "tie"]
_SCORES = {"left": 1.0, "right": 0.0, "tie": 0.5}


class Answers:
    """A file of JSON lines: each answer is on the disk before the next question; half a line of a killed writer is left."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = Lock()

    def add(self, left: str, right: str, number: int, answer: Answer, *, draw: str = "") -> None:
        """Writes down which of two runs' samples somebody preferred.

        Args:
            left, right: the runs, as `read` is asked for them.
            draw: from which noise both drew that sample, and for which prompt.
        """
        said = {"left": left, "right": right, "number": number, "answer": answer, "draw": draw}
        line = json.dumps({**said, "time": round(time.time())})
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.file, "a+b") as file:
                if file.tell() and not self._ends_a_line():
                    file.write(b"\n")
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def read(self, runs: Collection[str]) -> list[Bout]:
        """The comparisons among some runs, in the order in which they were made; the last word on each pair counts."""
        found: dict[tuple[frozenset[str], int, str], Bout] = {}
        for line in self._lines():
            try:
                said = json.loads(line)
                two = {"first": said["left"], "second": said["right"]}
                bout = Bout(**two, number=said["number"], score=_SCORES[said["answer"]], draw=str(said.get("draw", "")))
            except (ValueError, KeyError, TypeError):
                continue
            if {bout.first, bout.second} <= set(runs):
                found.pop(key := (frozenset((bout.first, bout.second)), bout.number, bout.draw), None)
                found[key] = bout
        return list(found.values())

    def _lines(self) -> list[str]:
        try:
            return self.file.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _ends_a_line(self) -> bool:
        with open(self.file, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
