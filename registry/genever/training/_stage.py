"""`train(...)`: one training run's composition, its slots filled. The only injection root of a gin file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt

from genever.slots import (
    Aligner,
    Average,
    Backbone,
    Codec,
    Conditioner,
    Data,
    Distiller,
    Guidance,
    Judge,
    Loss,
    Metric,
    Optimizer,
    Parallel,
    Reward,
    Sampler,
    Solver,
    Tracker,
    Tuner,
)
from genever.values import RunName

__all__ = ["Stage"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One training run, from its parts.

    Args:
        data: what is learned from.
        loss: path, prediction kind, weighting and distance.
        sampler: draws training times.
        backbone: the network.
        conditioner: labels or captions, made readable to the backbone.
        codec: images to latents and back.
        aligner: adds a term on features, or rebuilds the step around a reward. None = the base method.
        tuner: which weights learn.
        distiller: turns the model of `start` into a student with fewer steps. None = no distillation.
        start: the run whose weights this one starts from: the newest finished run of that name, or a run's path.
            Data, codec, conditioner, backbone, loss, sampler and solver that this file leaves out are that run's.
            None = from scratch.
        optimizer: learns every group that `group_optimizers` does not name.
        group_optimizers: optimizers of single groups, such as {'critic': @critic/AdamW()}. None = `optimizer` for all.
        averages: moving averages of the model's weights by name; the first is what is sampled, exported and started from.
            None = the raw weights alone.
        solver: goes from noise to data, for samples and metrics.
        guidance: combines conditional and unconditional outputs, for samples and metrics. None = conditional.
        metrics: judge samples every `evaluate_every` steps and at the end.
        judge: says which of two samples is better, in `genever arena`; of two rewards the higher one. None = whoever asks
            names one there.
        trackers: follow the run besides metrics.jsonl.
        steps: optimizer steps of each round.
        batch_size: samples of a step, over all processes and micro-batches.
        accumulate: micro-batches that a batch is split into; it must divide batch_size.
        seed: all randomness follows from it.
        precision: 'bf16' = autocast over float32 weights.
        clip_norm: largest norm of a group's gradient. None = disable.
        parallel: how the networks lie in several processes; where one trains alone it does nothing. None = only one may.
        compile: torch.compile 'blocks' (each block of the backbone on its own, which compiles once for all that are alike)
            or the 'whole' backbone. None = disable.
        skip_nonfinite: optimizer steps with a loss or gradient that is not finite that are skipped before the run stops.
        fetch_ahead: steps whose batches are fetched ahead, in as many threads; for data that is slow to read. 0 = fetch
            when needed.
        log_every: steps between two lines of scalars; the only points at which training waits for the device.
        validate_every: steps between two validation losses. None = only at the end.
        validate_samples: samples of the validation loss, at fixed noise and times. 0 = disable.
        sample_every: steps between two grids of samples. None = only at the end.
        sample_images: images of a grid. 0 = disable.
        sample_captions: what a grid asks for, a column of each. () = the captions or labels of the validation split.
        evaluate_every: steps between two evaluations of the metrics. None = only at the end.
        evaluate_samples: samples that the metrics judge.
        evaluate_weights: whose samples: 'average' = the first average, 'raw', or 'both'. Validation losses are of both.
        save_every: steps between two checkpoints. None = only at the end.
        keep_checkpoints: newest checkpoints that are kept. None = all.
        keep_best: a number, such as 'fd': the checkpoint where it was best, as its metric says, is kept too.
            None = disable.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    #: What says where and how often, not what the result is: left out of a run's identity.
    infrastructure: ClassVar[tuple[str, ...]] = (
        "judge",
        "trackers",
        "parallel",
        "fetch_ahead",
        "log_every",
        "validate_every",
        "sample_every",
        "sample_images",
        "sample_captions",
        "evaluate_every",
        "save_every",
        "keep_checkpoints",
        "keep_best",
    )
    #: The parts of a stage whose file names none.
    defaults: ClassVar[dict[str, str]] = {
        "conditioner": "conditioner.Unconditional",
        "codec": "codec.Pixels",
        "tuner": "tuner.Full",
        "optimizer": "optimizer.AdamW",
        "solver": "solver.Euler",
        "parallel": "parallel.DDP",
    }
    #: What a stage takes over from the run that it starts from, where its file is silent.
    inherited: ClassVar[tuple[str, ...]] = ("data", "codec", "conditioner", "backbone", "loss", "sampler", "solver")

    data: Data
    loss: Loss
    sampler: Sampler
    backbone: Backbone
    conditioner: Conditioner
    codec: Codec
    tuner: Tuner
    aligner: Aligner | None = None
    distiller: Distiller | None = None
    start: RunName | None = None
    optimizer: Optimizer
    group_optimizers: Mapping[str, Optimizer] | None = None
    averages: Mapping[str, Average] | None = None
    solver: Solver
    guidance: Guidance | None = None
    metrics: Sequence[Metric] = ()
    judge: Judge | Reward | None = None
    trackers: Sequence[Tracker] = ()
    steps: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(1)] = 128
    accumulate: Annotated[int, Ge(1)] = 1
    seed: Annotated[int, Ge(0)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    clip_norm: Annotated[float, Gt(0)] | None = 1.0
    parallel: Parallel | None = None
    compile: Literal["blocks", "whole"] | None = None
    skip_nonfinite: Annotated[int, Ge(0)] = 0
    fetch_ahead: Annotated[int, Ge(0)] = 0
    log_every: Annotated[int, Ge(1)] = 50
    validate_every: Annotated[int, Ge(1)] | None = None
    validate_samples: Annotated[int, Ge(0)] = 256
    sample_every: Annotated[int, Ge(1)] | None = None
    sample_images: Annotated[int, Ge(0)] = 40
    sample_captions: Sequence[str] = ()
    evaluate_every: Annotated[int, Ge(1)] | None = None
    evaluate_samples: Annotated[int, Ge(1)] = 1000
    evaluate_weights: Literal["average", "raw", "both"] = "average"
    save_every: Annotated[int, Ge(1)] | None = None
    keep_checkpoints: Annotated[int, Ge(1)] | None = 2
    keep_best: str | None = None

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"train.accumulate = {self.accumulate} does not divide train.batch_size = {self.batch_size}. "
                "Choose a batch size that is a multiple of it."
            )
