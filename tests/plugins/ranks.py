"""One of the processes that train a few steps of every method: `python ranks.py RANK SIZE FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.slots import Dataset
from genever.testing import Case, ToyData, ToyLearnableCodec, ToyReward, toy_stage
from genever.training import Trainer, World, compose
from genever.values import Samples
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

CATALOG = load_catalog()


def part(name: str, **given: Any) -> Any:
    return Case(catalog=CATALOG, name=name, given=given).part()


@dataclass(frozen=True, kw_only=True)
class Sized(ToyData):
    """Its images are square, wide and high in turn."""

    def build(self, split: Literal["train", "validation"]) -> Any:
        return SizedDataset(ToyData.build(self, split))


class SizedDataset:
    """`genever.slots.ResizableDataset`."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.spec, self.fetch = dataset, dataset.spec, dataset.fetch

    def __len__(self) -> int:
        return len(self.dataset)

    def sizes(self) -> Sequence[tuple[int, int]]:
        return [((4, 4), (2, 8), (8, 2))[index % 3] for index in range(len(self))]

    def fetch_at(self, indices: Sequence[int], *, height: int, width: int) -> Samples:
        found = self.fetch(indices)
        return Samples(images=F.interpolate(found.images, (height, width)), labels=found.labels, captions=found.captions)


HUBER = {"distance": part("distance.Huber", c=0.1)}
#: What makes a method small, and what it cannot be tried without; any other is tried as it is.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "aligner.DiffusionNFT": {"average": part("average.Ramp"), "group_size": 4, "num_times": 2},
    "aligner.FlowGRPO": {"solver": part("solver.FlowSDE", num_steps=4), "group_size": 4},
    "aligner.OnlineDPO": {"group_size": 4, "num_times": 2, "refresh_steps": 1},
    "aligner.PlackettLuce": {"utility": ToyReward()},
    "aligner.REPA": {"projector_width": 16},
    "aligner.REPAE": {"projector_width": 16},
    "aligner.ReFL": {"num_steps": 4, "first_step": 2},
    "aligner.Together": {"aligners": (part("aligner.Dispersive"), part("aligner.SelfAlignment"))},
    "distiller.ADD": {"head_width": 8},
    "distiller.ConsistencyTraining": HUBER,
    "distiller.ECT": HUBER,
    "distiller.LCM": HUBER,
    "distiller.DMD": {"critic_updates": 2, "regression_weight": 0.25, "num_pairs": 10, "teacher_steps": 2},
    "distiller.DMD2": {"critic_updates": 2, "head_width": 8},
    "distiller.InstaFlow": {"num_pairs": 10, "teacher_steps": 2},
    "distiller.LADD": {"num_synthetic": 6, "head_width": 8, "r1_weight": 10.0},
    "distiller.MeanFlow": {"share": 0.5},
    "distiller.ProgressiveDistillation": {"start_steps": 4},
    "distiller.Reflow": {"num_pairs": 10, "teacher_steps": 2, "num_rounds": 2},
    "distiller.SCM": {"warmup_steps": 1},
    "distiller.Shortcut": {"share": 0.5},
    "tuner.DreamBooth": {"labels": (0, 2), "num_prior": 6},
    "tuner.LoRA": {"rank": 2},
    "tuner.TextualInversion": {"placeholder": "<thing>", "init": "low"},
}
#: Of the stage that a method is tried on, where a toy will not do.
STAGES: Mapping[str, Mapping[str, Any]] = {
    "aligner.REPAE": {"codec": ToyLearnableCodec()},
    "distiller.LCM": {"conditioner": part("conditioner.GuidanceScale")},
    "distiller.MeanFlow": {"conditioner": part("conditioner.EndTime")},
    "distiller.Shortcut": {"conditioner": part("conditioner.EndTime")},
    "tuner.TextualInversion": {
        "conditioner": part("conditioner.Text", width=8, heads=2, depth=1, max_length=8),
        "data": part("data.Captioned", data=ToyData(), captions=("a <thing>", "a low one")),
    },
}


def grpo(solver: Any, **given: Any) -> Mapping[str, Any]:
    return {"aligner": part("aligner.FlowGRPO", solver=solver, group_size=4, **given)}


def windowed(name: str, **given: Any) -> Any:
    return part(name, solver=part("solver.FlowSDE", num_steps=4), size=2, **given)


DANCE = {"same_noise": True, "step_share": 0.6, "std_offset": 1e-8, "unbiased": True}
#: Every method of the catalog, then those that another binding makes, by the parts of their stages.
METHODS: Mapping[str, Mapping[str, Any]] = {
    **{
        name: {slot: part(name, **ARGUMENTS.get(name, {})), **STAGES.get(name, {})}
        for name in CATALOG.names()
        if (slot := name.partition(".")[0]) in ("aligner", "distiller", "tuner")
    },
    "Flow-GRPO-Fast": grpo(windowed("solver.RandomWindow", within=1.0), same_noise=True),
    "MixGRPO": grpo(windowed("solver.SlidingWindow", every=1)),
    "DanceGRPO": grpo(part("solver.ConstantSDE", num_steps=4), **DANCE),
    "DDPO": grpo(part("solver.DDIM", num_steps=4, eta=1.0)),
    "data.Buckets": {"data": part("data.Buckets", data=Sized(), multiple=2, batch_multiple=2), "steps": 4},
}


class Fresh:
    """`genever.execution.Start` of a run that left fresh weights."""

    def load(self, stage: Any, model: Any, codec: Any) -> None: ...


def train(name: str, run: RunDirectory, world: World) -> None:
    """Two steps of each of its rounds."""
    stage = toy_stage(
        start="toy",
        parallel=part("parallel.DDP"),
        optimizer=part("optimizer.AdamW", lr=1e-3),
        sample_images=0,
        validate_samples=0,
        log_every=1,
        **METHODS[name],
    )
    composition = compose(stage, device=torch.device("cpu"), start=Fresh(), world=world)
    Trainer(composition=composition, run=run).train()


def train_all(folder: Path, world: World) -> None:
    for name in METHODS:
        try:
            train(name, RunDirectory(folder / name), world)
        except Exception as error:
            error.add_note(f"This was {name}.")
            raise


if __name__ == "__main__":
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    train_all(folder, World(rank=rank, size=size))
    dist.destroy_process_group()
