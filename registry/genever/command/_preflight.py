"""`genever check --build` and `--preflight`: what a run would cost, before it is queued."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genever.errors import Place, UserError

if TYPE_CHECKING:
    import torch

    from genever.language import Config, Resolved
    from genever.parts import Catalog
    from genever.training import Composition, Method, Stage

__all__ = ["build_before_queue", "build_report", "preflight"]

_MIB = 2**20
#: Adam's two moments; other optimizers keep as much or less.
_MOMENTS = 2


def build_before_queue(
    resolved: Resolved,
    catalog: Catalog,
    root: Path,
    num_processes: int,
    *,
    planned: Mapping[str, Config] | None = None,
    home: Callable[[Place], Place] | None = None,
) -> None:
    """Finds what only built networks can tell, before a job waits for a place to find it.

    What cannot be built without memory, for whatever reason, is said and left to the job.

    Args:
        root: where the runs are that parts may name.
        num_processes: that are to train together.
        planned: what composes the runs that are not there yet.
        home: where that stands which is not in a gin file. None = on the command line.

    Raises:
        UserError: a part refuses what it is handed.
    """
    try:
        _built(resolved, catalog, root, planned or {}, num_processes, home)
    except UserError as error:
        raise UserError(f"{error} Nothing was submitted; --no-build leaves this to the job.") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        print(f"{resolved.name} was not built before, which its parts do not bear: {reason}", file=sys.stderr, flush=True)


def build_report(resolved: Resolved, catalog: Catalog, root: Path) -> list[str]:
    """Builds the stage without allocating its weights. Returns lines: parameters by role and group, and memory.

    Args:
        root: where the runs are that parts may name.

    Raises:
        UserError: a part refuses what it is handed.
    """
    stage, composition, method = _built(resolved, catalog, root, {}, 1, None)
    latent, rounds = composition.latent, composition.rounds()
    lines = [f"latents    {latent.channels} x {latent.height} x {latent.width}"]
    lines += [f"rounds     {len(rounds)} of {stage.steps} steps"] if len(rounds) > 1 else []
    for role, module in method.roles.items():
        count = sum(p.numel() for p in module.parameters())
        lines.append(f"role       {role:<12} {count:>14,} parameters{'  frozen' if role in method.frozen else ''}")
    for name, parameters in method.groups().items():
        lines.append(f"group      {name:<12} {sum(p.numel() for p in parameters.values()):>14,} learn")
    lines.append(f"memory     {_state_bytes(method, stage) / _MIB:,.0f} MiB for weights, gradients, moments and averages;")
    lines.append("           activations come on top: --preflight measures them")
    return lines


def _built(
    resolved: Resolved,
    catalog: Catalog,
    root: Path,
    planned: Mapping[str, Config],
    num_processes: int,
    home: Callable[[Place], Place] | None,
) -> tuple[Stage, Composition, Method]:
    """The stage and its first method, without their memory."""
    import torch

    from genever.execution import RunsUnder
    from genever.language import build
    from genever.training import World, compose

    with _refusals_told(resolved, home):
        stage, runs = build(resolved.text, catalog), RunsUnder(root, catalog, planned)
        composition = compose(stage, device=torch.device("meta"), runs=runs, world=World(size=num_processes))
        return stage, composition, composition.rounds()[0].start({})


def preflight(resolved: Resolved, catalog: Catalog, device: torch.device, root: Path) -> list[str]:
    """Takes two real steps, saves, resumes for a third, samples. Returns lines: peak memory, seconds a step, the run's time.

    Raises:
        UserError: a part refuses what it is handed, a step does not fit into memory, or its loss is not finite.
    """
    import torch

    from genever.execution import RunsUnder
    from genever.language import build
    from genever.runs import RunDirectory
    from genever.training import Trainer, compose, sample

    with _refusals_told(resolved):
        stage = build(resolved.text, catalog)
    short = dataclasses.replace(
        stage, steps=3, save_every=2, log_every=1, sample_images=min(4, stage.sample_images), metrics=(), trackers=()
    )
    timed: list[float] = []
    with tempfile.TemporaryDirectory(prefix="genever-preflight-") as folder:
        run = RunDirectory(Path(folder))
        run.checkpoints.mkdir()
        run.samples.mkdir()
        with _refusals_told(resolved):
            for stop_after in (2, 3):
                composition = compose(short, device=device, runs=RunsUnder(root, catalog))
                steps = iter(range(1, stop_after + 1))
                trainer = Trainer(
                    composition=composition,
                    run=run,
                    progress=lambda step, scalars: timed.append(time.perf_counter()),
                    should_stop=lambda steps=steps, last=stop_after: next(steps, last) >= last,
                )
                _train_until_stopped(trainer)
            began = time.perf_counter()
            sample(composition, composition.model, range(4), solver=composition.solver, guidance=composition.guidance)
        sampling = time.perf_counter() - began
    seconds, num = timed[1] - timed[0], len(composition.feed().indices(1))
    total = seconds * stage.steps * len(composition.rounds())
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return [
        f"steps      2 taken, saved, resumed, 1 more, on {device}",
        f"memory     {peak / _MIB:,.0f} MiB at the peak",
        f"speed      {seconds:.3f} s a step, {num / seconds:,.0f} images/s; 4 samples in {sampling:.2f} s",
        f"time       {_hours(total)} for {stage.steps * len(composition.rounds()):,} steps, without evaluation",
    ]


@contextmanager
def _refusals_told(resolved: Resolved, home: Callable[[Place], Place] | None = None) -> Iterator[None]:
    """What is wrong with the stage, rather than with the program, is said in a sentence that begins with its place."""
    import torch

    from genever.language import place_named
    from genever.training import NonFiniteError

    try:
        yield
    except (ValueError, OSError) as error:
        place = place_named(str(error), resolved.json)
        place = home(place) if home and place else place
        raise UserError(f"{place}: {error}" if place else str(error)) from error
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"a step does not fit into memory: {str(error).partition('. ')[0]}. "
            "Lower train.batch_size, or split it with train.accumulate."
        ) from error
    except NonFiniteError as error:
        raise UserError(
            "the loss or gradient is not finite within the first three steps. Lower the learning rate, or look at the data."
        ) from error


def _train_until_stopped(trainer: object) -> None:
    from genever.training import Stopped, Trainer

    assert isinstance(trainer, Trainer)
    try:
        trainer.train()
    except Stopped:
        return


def _state_bytes(method: Method, stage: Stage) -> int:
    seen = {id(p): p for module in method.roles.values() for p in module.parameters()}
    weights = sum(p.numel() * p.element_size() for p in seen.values())
    groups: Mapping[str, Mapping[str, torch.nn.Parameter]] = method.groups()
    learning = sum(p.numel() * 4 for parameters in groups.values() for p in parameters.values())
    return weights + learning * (1 + _MOMENTS + len(stage.averages or {}))


def _hours(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {int(seconds % 60):02d} s"
