"""A run's directory, brought to life."""

from __future__ import annotations

import fcntl
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genever.errors import UserError
from genever.execution._open import Start
from genever.execution._progress import Progress
from genever.language import build
from genever.runs import RunDirectory
from genever.training import Composition, NonFiniteError, Stage, Stopped, Trainer, compose, prune_checkpoints

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["execute"]

logger = logging.getLogger("genever")


def execute(run: RunDirectory, catalog: Catalog, *, device: torch.device) -> int:
    """Trains a run from its directory alone, from its newest checkpoint if it has one. Returns the exit code.

    Raises:
        UserError: another process trains it, or a part refuses what it is handed.
    """
    with _alone_in(run), _logging_to(run.log):
        try:
            composition = _compose(run, build(run.resolved, catalog), catalog, device)
            trainer = _trainer(run, composition)
        except (ValueError, OSError, UserError) as error:
            run.update_facts(status="failed", reason=str(error))
            raise UserError(str(error)) from error
        code, facts = 0, {"status": "finished"}
        run.update_facts(
            status="running",
            device=str(device),
            seed=composition.stage.seed,
            parameters=sum(p.numel() for p in composition.model.parameters()),
            started=time.time(),
        )
        try:
            with _stop_on_signal() as asked:
                trainer.should_stop = lambda: bool(asked)
                trainer.train()
        except Stopped:
            logger.warning("stopped; go on with: genever resume %s", run.path)
            code, facts = 1, {"status": "stopped"}
        except UserError as error:
            run.update_facts(status="failed", reason=str(error))
            raise
        except Exception as error:
            logger.error("failed: %s", error, exc_info=not _speaks_for_itself(error))
            saved = run.saved_steps()
            if saved:
                logger.error("step %d is saved; go on with: genever resume %s", saved[-1], run.path)
            code, facts = 1, {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        finally:
            for writer in trainer.writers:
                writer.close()
        run.update_facts(**facts, results=last_results(run), ended=time.time())
        return code


def last_results(run: RunDirectory) -> dict[str, float]:
    """The last value of everything that was judged: validation losses and metrics."""
    found: dict[str, float] = {}
    for line in run.read_metrics():
        found.update({key: value for key, value in line.items() if key.startswith(("average/", "raw/"))})
    return found


def _compose(run: RunDirectory, stage: Stage, catalog: Catalog, device: torch.device) -> Composition:
    """A run that has a checkpoint needs its start no more."""
    lineage = run.facts.get("start")
    start = Start(RunDirectory(Path(lineage["run"])), catalog) if lineage and not run.saved_steps() else None
    composition = compose(stage, device=device, start=start)
    if stage.compile:
        composition.model.network.compile()
    return composition


def _trainer(run: RunDirectory, composition: Composition) -> Trainer:
    saved = run.saved_steps()
    prune_checkpoints(run, keep=None, always=set())
    run.drop_metrics_after(saved[-1] if saved else 0)
    config = {"identity": run.facts.get("identity"), "experiment": run.facts.get("experiment")}
    writers = [part.open(run.path, step=saved[-1] if saved else 0, config=config) for part in composition.stage.trackers]
    progress = Progress(composition.stage, num_rounds=len(composition.rounds()), first=saved[-1] if saved else 0)
    return Trainer(composition=composition, run=run, writers=writers, progress=progress)


def _speaks_for_itself(error: Exception) -> bool:
    return isinstance(error, NonFiniteError | torch.cuda.OutOfMemoryError | OSError)


@contextmanager
def _alone_in(run: RunDirectory) -> Iterator[None]:
    """Keeps a second process out: each would clear away what the other is writing. A killed process leaves no lock."""
    with open(run.path / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another process is training {run.path}. Wait until it ends, or stop it first.") from error
        except OSError:
            logger.warning("the file system of %s knows no locks; let no second process train this run", run.path)
        yield


@contextmanager
def _stop_on_signal() -> Iterator[list[int]]:
    """A list that holds the signals which asked to stop; handlers only set this flag."""
    asked: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, frame: asked.append(number)) for kind in kinds}
    try:
        yield asked
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def _logging_to(file: Path) -> Iterator[None]:
    """Log lines go to the run's log.txt and to standard error."""
    handlers: Sequence[logging.Handler] = (logging.FileHandler(file, encoding="utf-8"), logging.StreamHandler(sys.stderr))
    handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handlers[1].addFilter(lambda record: not getattr(record, "shown_by_bar", False))
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
