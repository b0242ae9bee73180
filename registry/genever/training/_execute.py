"""Runs on disk, brought to life: train one from its directory, or open a finished one."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genever.errors import UserError
from genever.runs import RunDirectory
from genever.slots import Guidance, Solver
from genever.training._checkpoint import load_model_state, prune_checkpoints, read_index
from genever.training._compose import Composition, compose
from genever.training._denoiser import Denoiser
from genever.training._evaluation import Evaluation
from genever.training._loop import Stopped, Trainer
from genever.training._progress import Progress
from genever.training._stage import Stage

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["Opened", "Start", "execute", "measure", "open_run", "pick_device"]

logger = logging.getLogger("genever")


@dataclass(frozen=True)
class Opened:
    """A run's model as it is to be sampled."""

    run: RunDirectory
    composition: Composition
    model: Denoiser
    solver: Solver
    guidance: Guidance | None
    step: int
    weights: str


class Start:
    """The run that a stage starts from: its sampled weights, its tuner merged in."""

    def __init__(self, run: RunDirectory, catalog: Catalog) -> None:
        self.run = run
        self.catalog = catalog

    def load(self, model: Denoiser) -> None:
        """Raises ValueError where the architectures differ."""
        opened = open_run(self.run, self.catalog, device=torch.device("cpu"))
        opened.composition.tuned.merge()
        given, wanted = opened.model.state_dict(), model.state_dict()
        shapes = {key: tuple(value.shape) for key, value in given.items()}
        differing = [key for key in wanted if shapes.get(key) != tuple(wanted[key].shape)] + [
            *(given.keys() - wanted.keys())
        ]
        if differing:
            key = differing[0]
            raise ValueError(
                f"train.start = {str(self.run.path)!r} holds another model than this file composes: {key} is "
                f"{shapes.get(key, 'absent')} there and {tuple(wanted[key].shape) if key in wanted else 'absent'} here. "
                "Leave train.backbone and train.conditioner out, so that they are taken over from the start."
            )
        model.load_state_dict(given)


def pick_device(name: str | None = None) -> torch.device:
    """The named device; by default a GPU where there is one."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def open_run(
    run: RunDirectory,
    catalog: Catalog,
    *,
    device: torch.device,
    stage: Stage | None = None,
    step: int | None = None,
    weights: str | None = None,
) -> Opened:
    """A run's model from a checkpoint.

    Args:
        stage: in place of the run's own, with another solver or other metrics.
        step: None = the newest checkpoint.
        weights: an average's name, or 'raw'. None = the first average, or raw where there is none.
    """
    from genever.language import build

    steps = run.saved_steps()
    if not steps or (step is not None and step not in steps):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise UserError(f"{run.path} has {wanted}; its checkpoints are {steps}.")
    step = steps[-1] if step is None else step
    index = read_index(run, step)
    if weights not in (None, "raw", *index["averages"]):
        raise UserError(f"{run.path} has no average {weights!r}. It has: {', '.join(['raw', *index['averages']])}.")
    weights = weights or (index["averages"] or ["raw"])[0]
    composition = compose(stage or build(run.resolved, catalog), device=device)
    rounds = composition.rounds() if composition.stage.distiller else []
    composition.model.load_state_dict(load_model_state(run, step, None if weights == "raw" else weights))
    solver = rounds[index["round"]].solver if rounds else None
    return Opened(
        run=run,
        composition=composition,
        model=composition.model.eval(),
        solver=solver or composition.solver,
        guidance=composition.guidance if solver is None else rounds[index["round"]].guidance,
        step=step,
        weights=weights,
    )


def execute(run: RunDirectory, catalog: Catalog, *, device: torch.device) -> int:
    """Trains a run from its directory alone, from its newest checkpoint if it has one. Returns the exit code."""
    from genever.language import build

    with _logging_to(run.log):
        try:
            composition = _compose(run, build(run.resolved, catalog), catalog, device)
            trainer = _trainer(run, composition)
        except (ValueError, OSError) as error:
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


def measure(opened: Opened) -> dict[str, float]:
    """Every metric of an opened run's stage."""
    evaluation = Evaluation(
        composition=opened.composition,
        model=opened.model,
        solver=opened.solver,
        guidance=opened.guidance,
        num_samples=opened.composition.stage.evaluate_samples,
        step=opened.step,
    )
    found: dict[str, float] = {}
    with torch.no_grad():
        for metric in opened.composition.stage.metrics:
            found.update(metric.measure(evaluation))
    return found


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
    from genever.training._nonfinite import NonFiniteError

    return isinstance(error, NonFiniteError | torch.cuda.OutOfMemoryError | OSError)


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
