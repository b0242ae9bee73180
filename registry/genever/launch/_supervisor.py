"""What a job does: it starts the ranks of its runs, watches them, and starts them again where that may help."""

from __future__ import annotations

import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from genever.launch._folder import RunJob
from genever.launch._ranks import FAILED, FINISHED, REQUEUE, STOPPED, WRONG, Death, Ranks, Spawn
from genever.runs import RunDirectory

__all__ = ["supervise"]

_EVERY_S, _LOOK_EVERY_S = 0.1, 5.0
#: Times in a row that a run may be asked to leave without having saved anything new.
_MOST_IN_VAIN = 5
_BY_SIGNAL: dict[int, int] = {
    signal.SIGUSR1: REQUEUE,
    signal.SIGUSR2: REQUEUE,
    signal.SIGTERM: STOPPED,
    signal.SIGINT: STOPPED,
}
_BY_STATUS = {"finished": FINISHED, "preempted": REQUEUE}
#: Seconds after which ranks that have written down how they ended, and have not ended, are ended.
_HANGS_S = 120.0


def supervise(
    runs: Sequence[RunDirectory],
    spawn: Spawn,
    *,
    token: str,
    retries: int = 0,
    has_place: Callable[[], bool | None] = lambda: True,
    has: Callable[[RunDirectory], bool] = lambda run: True,
) -> int:
    """Trains runs side by side until each is done, failed or asked to leave. A finished run is passed over.

    Args:
        token: names this start of the job, unlike any other; letters, digits, '-' and '_'.
        retries: restarts in a row after failures that saved nothing new between them.
        has_place: whether the job may still run here; None = nobody says so now. It is asked when ranks have failed: a
            cluster that gave the job's place up starts it again elsewhere, and this process must not stand in the way.
        has: whether a run is still of this job; one that is not is somebody else's to start.

    Returns:
        0 = all finished; 75 = one has to be started again; 76 = one was asked to stop; 1 or 2 = one failed for good.
    """
    watched = [_Watched(run, spawn, f"{token}-{number}", retries, has_place, has) for number, run in enumerate(runs)]
    with _handing_on(watched):
        live = watched
        while live := [one for one in live if one.goes_on()]:
            time.sleep(_EVERY_S)
    codes = {one.code for one in watched}
    return next(code for code in (REQUEUE, FAILED, WRONG, STOPPED, FINISHED) if code in codes)


@dataclass
class _Watched:
    """A run, and its ranks while they live. `code` is None until nothing more is to be done for it here."""

    run: RunDirectory
    spawn: Spawn
    token: str
    retries: int
    has_place: Callable[[], bool | None]
    has: Callable[[RunDirectory], bool]
    job: RunJob = field(init=False)
    ranks: Ranks | None = None
    code: int | None = None
    num_starts: int = 0
    asked: int = 0
    done_at: float | None = None
    looked_at: float = 0.0

    def __post_init__(self) -> None:
        self.job = RunJob(self.run.path)

    def goes_on(self) -> bool:
        """Looks once, and does what is to be done. Whether to look again."""
        if self.code is None and self.ranks is None:
            self._start()
        elif self.ranks is not None and (death := self.ranks.ended()) is not None:
            self._conclude(death)
        else:
            self._look_around()
        return self.code is None

    def send(self, number: int) -> None:
        self.asked = self.asked or number
        if self.ranks is not None:
            self.ranks.send(number)

    def _start(self) -> None:
        status, job = self.run.facts["status"], self.job
        if job.cancelled.exists() or not self.has(self.run):
            self.asked = self.asked or signal.SIGTERM
        if status == "finished" or self.asked or job.gave_up:
            self.code = FINISHED if status == "finished" else _BY_SIGNAL.get(self.asked, FAILED)
            return
        attempt = f"{self.token}-{self.num_starts}"
        self.num_starts += 1
        with _though_the_disk_is_full():
            job.started(attempt=attempt, host=platform.node(), started=time.time(), saved_before=_saved(self.run))
            self.run.update_facts(status="starting", reason=None)
        self.ranks = self.spawn(self.run.path, attempt)
        if self.asked:  # while they were being started
            self.ranks.send(self.asked)

    def _look_around(self) -> None:
        """Sees now and then whether somebody cancelled this run alone, or its ranks hang.

        Taking processes down can hang where a network does; what is written down need not wait for that.
        """
        now = time.monotonic()
        if self.ranks is None or now < self.looked_at + _LOOK_EVERY_S:
            return
        self.looked_at = now
        with suppress(OSError, ValueError):  # A shared folder may not answer for a moment.
            if self.job.cancelled.exists():
                self.asked = signal.SIGTERM
                self.ranks.stop()
            is_over = self.run.facts["status"] in ("finished", "preempted", "stopped", "failed")
            self.done_at = (self.done_at or now) if is_over else None
            if self.done_at and now > self.done_at + _HANGS_S:
                self.ranks.kill()

    def _conclude(self, death: Death) -> None:
        code, reason = _judged(self.run, self.job.attempts[-1]["attempt"], death)
        has_place = self.has_place() if code == FAILED else True
        if has_place is None:
            return
        self.ranks = self.done_at = None
        if self.job.is_taken_over or not has_place:
            self.code = STOPPED  # What becomes of the run, another start of it says.
            return
        outcome = {"ended": time.time(), "code": code, "exit_code": death.code, "reason": reason, "saved": _saved(self.run)}
        attempts = [*self.job.attempts[:-1], {**self.job.attempts[-1], **outcome}]
        gave_up = self._in_vain(attempts, code, reason)
        if gave_up:
            code, reason = (code if code == WRONG else FAILED), gave_up
        with _though_the_disk_is_full():
            self.job.ended(**outcome, gave_up=gave_up is not None)
            if code in (FAILED, WRONG):
                self.run.update_facts(status="failed", reason=reason, ended=time.time())
        if code in (FAILED, WRONG):
            print(f"{self.run.path}: {reason}{'' if gave_up else '; starting again'}", file=sys.stderr, flush=True)
        if gave_up or code not in (FAILED, WRONG):
            self.code = code

    def _in_vain(self, attempts: Sequence[dict[str, Any]], code: int, reason: str) -> str | None:
        """Why starting again would not help; None = it may."""
        if code in (FINISHED, STOPPED):
            return None
        if code == WRONG or "NonFiniteError" in reason:
            return reason
        num = _num_in_vain(attempts, code)
        if code == REQUEUE:
            return f"it was asked to leave {num} times before it had saved anything new" if num > _MOST_IN_VAIN else None
        return reason if num > self.retries else None


def _num_in_vain(attempts: Sequence[dict[str, Any]], code: int) -> int:
    """How many starts in a row, up to the last, ended like this and saved nothing new."""
    num = 0
    for attempt in reversed(attempts):
        if attempt.get("code") != code or attempt.get("saved") != attempt["saved_before"]:
            break
        num += 1
    return num


def _judged(run: RunDirectory, attempt: str, death: Death) -> tuple[int, str]:
    """What became of a start of a run, and why: from what the ranks wrote down, and from how the first of them ended.

    The ranks end one after the other, and what stops the rest must not hide what they had agreed on. Nor must what the
    others say, once one of them is gone, hide why it went.
    """
    facts, failure = run.facts, run.failure or {}
    who = "its only process" if death.rank is None else f"rank {death.rank}"
    by_signal = _BY_SIGNAL.get(death.signal, FAILED) if death.signal else None
    if facts["status"] in ("finished", "preempted"):
        return _BY_STATUS[facts["status"]], ""
    if failure.get("attempt") == attempt and not (by_signal == FAILED and death.rank != failure["rank"]):
        return (WRONG if failure.get("wrong") else FAILED), str(failure["reason"])
    if by_signal == FAILED and death.signal:
        memory = ", as when memory runs out" if death.signal is signal.SIGKILL else ""
        return FAILED, f"{who} was killed by {death.signal.name}{memory}"
    code = by_signal or death.code  # A signal may come before a rank can listen.
    if code in (REQUEUE, STOPPED):
        return code, ""
    if facts["status"] == "stopped" and death.rank is None:
        return STOPPED, ""
    reason = facts.get("reason") or f"{who} ended with exit code {death.code} and left no reason"
    return (WRONG if code == WRONG else FAILED), str(reason)


def _saved(run: RunDirectory) -> int:
    return max(run.saved_steps(), default=-1)


@contextmanager
def _though_the_disk_is_full() -> Iterator[None]:
    """What cannot be written down must not end the ranks, nor what starts them."""
    try:
        yield
    except OSError as error:
        print(f"cannot write down how the run is: {error}", file=sys.stderr, flush=True)


@contextmanager
def _handing_on(watched: Sequence[_Watched]) -> Iterator[None]:
    """Signals to this process go to all ranks; the second Ctrl-C ends them at once."""
    seen: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        seen.append(number)
        for one in watched:
            one.send(signal.SIGTERM if number == signal.SIGHUP else number)
            if seen.count(signal.SIGINT) > 1 and one.ranks is not None:
                one.ranks.kill()

    kinds = [*_BY_SIGNAL, *([] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP])]  # nohup
    before = {kind: signal.signal(kind, hand_on) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
