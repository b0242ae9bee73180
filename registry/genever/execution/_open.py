"""A run's model, opened from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from genever.errors import UserError
from genever.execution._average_length import average_of_length
from genever.execution._places import left_behind, may_be_new, names_by_place
from genever.language import build, resolve
from genever.runs import RunDirectory, find_run
from genever.slots import CodecModule, Guidance, Solver
from genever.training import (
    Composition,
    Denoiser,
    Evaluation,
    Stage,
    compose,
    load_codec_state,
    load_model_state,
    named,
    protocol_of,
    read_index,
)
from genever.values import RunName

if TYPE_CHECKING:
    from genever.language import Config
    from genever.parts import Catalog

__all__ = ["Measured", "Opened", "RunsUnder", "Start", "measure", "open_run", "pick_device", "set_in_vain"]


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
    """The run that a stage starts from: its sampled weights, its tuner merged in, and its codec."""

    def __init__(self, run: RunDirectory, catalog: Catalog) -> None:
        self.run = run
        self.catalog = catalog

    def load(self, stage: Stage, model: Denoiser, codec: CodecModule) -> None:
        """Raises ValueError where the architectures differ."""
        opened = open_run(self.run, self.catalog, device=torch.device("cpu"))
        if opened.composition.stage.codec == stage.codec:
            cast(nn.Module, codec).load_state_dict(cast(nn.Module, opened.composition.codec).state_dict())
        opened.composition.tuned.merge()
        there, here, names = _by_place(opened.model), _by_place(model), names_by_place(model)
        dropped, fresh = left_behind(opened.model) - here.keys(), may_be_new(model) - there.keys()
        given = {place: tensor for place, tensor in there.items() if place not in dropped}
        wanted = {place: tensor for place, tensor in here.items() if place not in fresh}
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
        model.load_state_dict({names[place]: tensor for place, tensor in given.items()}, strict=False)


def _by_place(model: Denoiser) -> dict[str, Tensor]:
    state = model.state_dict()
    return {place: state[name] for place, name in names_by_place(model).items()}


@dataclass(frozen=True)
class RunsUnder:
    """`genever.training.Runs` below one folder, or anywhere by their paths.

    Args:
        planned: what composes runs that are not there yet, by the names that others have for them; they open on the meta
            device alone.
    """

    root: Path
    catalog: Catalog
    planned: Mapping[str, Config] = field(default_factory=dict)

    @classmethod
    def beside(cls, run: RunDirectory, catalog: Catalog) -> RunsUnder:
        """Those where a run lives."""
        depth = len(PurePosixPath(run.facts["experiment"]).parts)
        return cls(run.path.resolve().parents[depth], catalog)

    def open(self, name: RunName, device: torch.device) -> Composition:
        if name in self.planned:
            assert device.type == "meta", "A run that is not there yet has no weights."
            resolved = resolve(self.planned[name], self.catalog)
            return compose(build(resolved.text, self.catalog), device=device, runs=self)
        run = find_run(name, self.root)
        if run is None:
            raise UserError(f"there is no run {name!r} below {self.root}. Run it first, or name another.")
        if device.type == "meta":
            return compose(build(run.resolved, self.catalog), device=device, runs=self)
        opened = open_run(run, self.catalog, device=device)
        # What a round samples otherwise than its stage (a distilled one) is what this composition is sampled with.
        opened.composition.stage = replace(opened.composition.stage, solver=opened.solver, guidance=opened.guidance)
        return opened.composition


def pick_device(name: str | None = None, *, local_rank: int = 0) -> torch.device:
    """The named device; by default the GPU of this process's number on its machine, where there is one.

    Raises:
        UserError: it cannot be used.
    """
    num_gpus = torch.cuda.device_count()
    here = ["cpu", *(f"cuda:{number}" for number in range(num_gpus))]
    try:
        device = torch.device(name or (f"cuda:{local_rank % num_gpus}" if num_gpus else "cpu"))
        torch.empty(1, device=device).cpu()  # A device without memory, such as meta, cannot be read.
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"--device {name!r} cannot be used: {reason}. On this machine there are: {', '.join(here)}."
        ) from error
    return device


def open_run(
    run: RunDirectory,
    catalog: Catalog,
    *,
    device: torch.device,
    stage: Stage | None = None,
    step: int | None = None,
    weights: str | None = None,
    average_length: float | None = None,
) -> Opened:
    """A run's model from a checkpoint.

    Args:
        stage: in place of the run's own, with another solver or other metrics.
        step: None = the newest checkpoint.
        weights: an average's name, or 'raw'. None = the first average, or raw where there is none.
        average_length: of an average put together out of the run's snapshots, in place of `weights`. None = disable.
    """
    steps = run.saved_steps()
    if not steps or (step is not None and step not in steps):
        wanted = "no checkpoint" if step is None else f"no checkpoint of step {step}"
        raise UserError(f"{run.path} has {wanted}; its checkpoints are {steps}.")
    step = steps[-1] if step is None else step
    index = read_index(run, step)
    if weights not in (None, "raw", *index["averages"]):
        raise UserError(f"{run.path} has no average {weights!r}. It has: {', '.join(['raw', *index['averages']])}.")
    chosen: str = weights or (index["averages"] or ["raw"])[0]
    composition = compose(stage or build(run.resolved, catalog), device=device, runs=RunsUnder.beside(run, catalog))
    rounds = composition.rounds() if composition.stage.distiller else []
    if average_length is None:
        state = load_model_state(run, step, None if chosen == "raw" else chosen)
    else:
        mixed, chosen = average_of_length(run, catalog, step, average_length)
        state = load_model_state(run, step, None) | mixed
    _fill(composition.model, state, run)
    codec = load_codec_state(run, step)
    if codec:  # Nothing is saved of a codec without weights.
        _fill(cast(nn.Module, composition.codec), codec, run)
    solver = rounds[index["round"]].solver if rounds else None
    return Opened(
        run=run,
        composition=composition,
        model=composition.model.eval(),
        solver=solver or composition.solver,
        guidance=composition.guidance if solver is None else rounds[index["round"]].guidance,
        step=step,
        weights=chosen,
    )


def set_in_vain(opened: Opened, catalog: Catalog) -> str | None:
    """What was to sample a student otherwise than it was distilled, in words. None = nothing."""
    stage, own, composition = opened.composition.stage, build(opened.run.resolved, catalog), opened.composition
    pairs = {"solver": (opened.solver, composition.solver), "guidance": (opened.guidance, composition.guidance)}
    for name, (used, other) in pairs.items():
        if used is not other and getattr(stage, name) != getattr(own, name):
            return (
                f"train.{name} is to be {_said(getattr(stage, name))}, but {opened.run.path} is sampled as "
                f"{type(stage.distiller).__name__} has distilled it: by {_said(opened.solver)}, guided by "
                f"{_said(opened.guidance)}. {_remedy(stage.distiller, opened.solver)}"
            )
    return None


def _said(part: object) -> str:
    return "None" if part is None else named(part)


def _remedy(distiller: object, solver: Solver) -> str:
    """Names what a distiller hands on to the solver of its students."""
    shared = [name for name in _parameters(distiller) if name in _parameters(solver)]
    keys = " or ".join(f"{type(distiller).__name__}.{name}" for name in shared)
    return f"Leave that out, or set {keys}." if keys else "Leave that out."


def _parameters(part: object) -> list[str]:
    return [field.name for field in fields(part)] if is_dataclass(part) else []


def _fill(model: nn.Module, saved: Mapping[str, Tensor], run: RunDirectory) -> None:
    """Puts a checkpoint's weights into a model; a tensor of two names was saved under one of them."""
    own = model.state_dict(keep_vars=True)
    filled = {id(own[name]) for name in saved if name in own}
    differing = [name for name, tensor in saved.items() if name not in own or own[name].shape != tensor.shape]
    differing += [name for name, tensor in own.items() if id(tensor) not in filled]
    if differing:
        raise UserError(
            f"the weights of {run.path} do not fit the model that is composed here: {differing[0]} differs. "
            "Bindings may change what samples and what judges, such as solver, guidance and metrics, not the model."
        )
    model.load_state_dict(saved, strict=False)


@dataclass(frozen=True)
class Measured:
    """A metric's number.

    Args:
        protocol: how it came about, in a line. '' = the metric does not say.
    """

    value: float
    protocol: str


def measure(opened: Opened) -> dict[str, Measured]:
    """Every metric of an opened run's stage, by the names of its numbers."""
    evaluation = Evaluation(
        composition=opened.composition,
        model=opened.model,
        solver=opened.solver,
        guidance=opened.guidance,
        num_samples=opened.composition.stage.evaluate_samples,
        step=opened.step,
    )
    found: dict[str, Measured] = {}
    with torch.no_grad():
        for metric in opened.composition.stage.metrics:
            said = protocol_of(metric, evaluation)
            found.update({name: Measured(value, said) for name, value in metric.measure(evaluation).items()})
    return found
