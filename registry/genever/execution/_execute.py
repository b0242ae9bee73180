"""A run's directory, brought to life."""

from __future__ import annotations

import fcntl
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
import torch.distributed as dist

from genever.errors import COMMAND_LINE, UserError
from genever.execution._heartbeat import Heartbeat, beating
from genever.execution._last_words import give_room, keep_room
from genever.execution._open import RunsUnder, Start
from genever.execution._progress import Progress
from genever.execution._ranks import Place, joined
from genever.execution._signals import Ask, Asked, listening
from genever.language import build, place_named
from genever.runs import RunDirectory
from genever.training import (
    Composition,
    NonFiniteError,
    Stage,
    Stopped,
    Trainer,
    World,
    better_ends,
    compose,
    prune_checkpoints,
)

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["FAILED", "FINISHED", "REQUEUE", "STOPPED", "WRONG", "execute"]

logger = logging.getLogger("genever")

#: Seconds that a process which lost another leaves it to say why.
_FIRST_WORD_S = 1.0
#: What a path that somebody wrote is to blame for, at every start. What else fails of a disk or a network may pass.
_OF_A_PATH = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
#: Exit codes of a run's process. Done; the work failed; the user's input is wrong.
FINISHED, FAILED, WRONG = 0, 1, 2
#: Everything is saved, and it was asked to be started again; or to stop.
REQUEUE, STOPPED = 75, 76


def execute(run: RunDirectory, catalog: Catalog, *, device: torch.device, place: Place | None = None) -> int:
    """Trains a run from its directory alone, from its newest checkpoint if it has one. Returns the exit code.

    Args:
        place: which of the run's processes this one is. None = the only one.

    Raises:
        UserError: another process trains it, or a part refuses what it is handed.
    """
    place, asked = place or Place(), Asked()
    with listening(asked), _alone_in(run, place), _logging_to(run.log, place.world):
        try:
            with joined(place, run, device) as world:
                return _live(run, catalog, device, place, world, asked)
        except UserError as error:
            _fail(run, place, str(error), wrong=True)
            raise
        except Exception as error:
            if _is_of_others(error):
                time.sleep(_FIRST_WORD_S)
            reason = _fail(run, place, f"{type(error).__name__}: {error}")
            logger.error("failed: %s", reason, exc_info=not _speaks_for_itself(error))
            if place.rank == 0 and run.saved_steps():
                logger.error("step %d is saved; go on with: genever resume %s", run.saved_steps()[-1], run.path)
            return FAILED


def _live(run: RunDirectory, catalog: Catalog, device: torch.device, place: Place, world: World, asked: Asked) -> int:
    if world.leads:
        run.forget_failure()
        prune_checkpoints(run, keep=None, always=set())
    world.wait()
    try:
        composition = _compose(run, build(run.resolved, catalog), catalog, device, world)
        first = max(run.saved_steps(), default=0)
        total = composition.stage.steps * len(composition.rounds())
        heartbeat = Heartbeat(run, place.attempt, first=first, total=total)
        trainer = _trainer(run, composition, heartbeat)
    except (ValueError, *_OF_A_PATH) as error:
        raise UserError(_with_place(str(error), run)) from error
    if world.leads:
        run.update_facts(
            status="running",
            device=str(device),
            processes=world.size,
            seed=composition.stage.seed,
            parameters=sum(p.numel() for p in composition.model.parameters()),
            better=better_ends(composition.stage.metrics),
            started=time.time(),
        )
        keep_room(run)
    trainer.should_stop = lambda: asked.most
    try:
        with beating(heartbeat if world.leads else None, asked):
            trainer.train()
    except Stopped as stopped:
        return _stopped(run, trainer, place, stopped)
    finally:
        for writer in trainer.writers:
            writer.close()
    if world.leads:
        give_room(run)
        run.update_facts(status="finished", reason=None, **_judged(run, trainer), ended=time.time())
    return FINISHED


def _with_place(refusal: str, run: RunDirectory) -> str:
    """What a part refuses, after the line of the experiment where it was said."""
    place = place_named(refusal, run.origins.read_text(encoding="utf-8")) if run.origins.is_file() else None
    # A sweep binds what nobody has said on a command line.
    is_said = place and not (place.file == COMMAND_LINE and "sweep" in run.facts)
    return f"{place}: {refusal}" if is_said else refusal


def _judged(run: RunDirectory, trainer: Trainer) -> dict[str, Any]:
    """What was measured last, and how these numbers came about."""
    said = {name: protocol for name, protocol in trainer.record.protocols.items() if protocol}
    return {"results": last_results(run), "protocols": {**run.facts.get("protocols", {}), **said}}


def _stopped(run: RunDirectory, trainer: Trainer, place: Place, stopped: Stopped) -> int:
    """Another attempt that took the run over says itself how it is."""
    requeue = stopped.asked == Ask.REQUEUE
    if place.rank == 0:
        give_room(run)
        logger.warning("stopped at what is saved; go on with: genever resume %s", run.path)
        if stopped.asked != Ask.LEAVE:
            status = "preempted" if requeue else "stopped"
            run.update_facts(status=status, **_judged(run, trainer), ended=time.time())
    return REQUEUE if requeue else STOPPED


def last_results(run: RunDirectory) -> dict[str, float]:
    """The last value of everything that was judged: validation losses and metrics."""
    found: dict[str, float] = {}
    for line in run.read_metrics():
        found.update({key: value for key, value in line.items() if key.startswith(("average/", "raw/"))})
    return found


def _fail(run: RunDirectory, place: Place, reason: str, *, wrong: bool = False) -> str:
    """Writes down why this process failed. Returns the reason of the first that did, which rank 0 writes into run.json."""
    give_room(run)
    said = reason if place.size == 1 else f"rank {place.rank} on {platform.node()}: {reason}"
    run.note_failure(
        rank=place.rank, host=platform.node(), reason=said, wrong=wrong, attempt=place.attempt, time=time.time()
    )
    first = (run.failure or {}).get("reason", said)
    if place.rank == 0:
        run.update_facts(status="failed", reason=first, results=last_results(run), ended=time.time())
    return first


def _compose(run: RunDirectory, stage: Stage, catalog: Catalog, device: torch.device, world: World) -> Composition:
    """A run that has a checkpoint needs its start no more."""
    lineage = None if run.saved_steps() else run.facts.get("start")
    start = Start(RunDirectory(Path(lineage["run"])), catalog) if lineage else None
    for one in (*([lineage] if lineage else []), *run.facts.get("reads", {}).values()):
        if one.get("awaited") and RunDirectory(Path(one["run"])).finished_since is None:
            raise UserError(f"it needs {one['run']}, which has not finished. Wait for that run, or go on with it first.")
    return compose(stage, device=device, start=start, world=world, runs=RunsUnder.beside(run, catalog))


def _trainer(run: RunDirectory, composition: Composition, heartbeat: Heartbeat) -> Trainer:
    if not composition.world.leads:
        return Trainer(composition=composition, run=run)
    first = heartbeat.first
    run.drop_metrics_after(first)
    config = {"identity": run.facts.get("identity"), "experiment": run.facts.get("experiment")}
    writers = [part.open(run.path, step=first, config=config) for part in composition.stage.trackers]
    shown = Progress(composition.stage, num_rounds=len(composition.rounds()), first=first)

    def progress(step: int, scalars: Mapping[str, float] | None) -> None:
        heartbeat.step = step
        shown(step, scalars)

    return Trainer(composition=composition, run=run, writers=writers, progress=progress)


def _is_of_others(error: Exception) -> bool:
    """Whether it only says that another process has gone, which may still be writing down why."""
    gone = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in gone)
    )


def _speaks_for_itself(error: Exception) -> bool:
    return isinstance(error, NonFiniteError | torch.cuda.OutOfMemoryError | OSError)


@contextmanager
def _alone_in(run: RunDirectory, place: Place) -> Iterator[None]:
    """Keeps a second start of the run out: each would clear away what the other is writing. A killed process leaves no lock.

    An attempt that a launcher named takes the run over: it claims it, and waits until the one before has saved and left.
    """
    if place.rank != 0:
        yield
        return
    if place.attempt:
        run.claim(place.attempt)
    with open(run.path / ".lock", "w", encoding="utf-8") as lock:
        until = time.monotonic() + (place.patience if place.attempt else 0)
        while not _locked(lock, run):
            if time.monotonic() >= until:
                raise UserError(f"another process is training {run.path}. Wait until it ends, or stop it first.")
            time.sleep(0.5)
        yield


def _locked(lock: TextIO, run: RunDirectory) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        logger.warning("the file system of %s knows no locks; let no second process train this run", run.path)
    return True


@contextmanager
def _logging_to(file: Path, world: World) -> Iterator[None]:
    """Log lines go to standard error, and those of rank 0 to the run's log.txt."""
    shown = logging.StreamHandler(sys.stderr)
    shown.addFilter(lambda record: not getattr(record, "shown_by_bar", False))
    handlers: Sequence[logging.Handler] = [shown]
    if world.leads:
        written = logging.FileHandler(file, encoding="utf-8")
        written.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers = [written, shown]
    logger.setLevel(logging.INFO if world.leads else logging.WARNING)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
