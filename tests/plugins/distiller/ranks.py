"""One of the processes that train two steps of every distiller: `python ranks.py RANK SIZE FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.testing import Case, toy_stage
from genever.training import Trainer, World, compose

CATALOG = load_catalog()
DISTILLERS = [name for name in CATALOG.names() if name.startswith("distiller.")]


def part(name: str, **given: Any) -> Any:
    return Case(catalog=CATALOG, name=name, given=given).part()


HUBER = {"distance": part("distance.Huber", c=0.1)}
#: What makes a distiller small, and what it cannot be tried without; any other is tried as it is.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "distiller.ConsistencyTraining": HUBER,
    "distiller.ECT": HUBER,
    "distiller.LCM": HUBER,
    "distiller.DMD": {"critic_updates": 2, "regression_weight": 0.25, "num_pairs": 10, "teacher_steps": 2},
    "distiller.DMD2": {"critic_updates": 2},
    "distiller.InstaFlow": {"num_pairs": 10, "teacher_steps": 2},
    "distiller.LADD": {"num_synthetic": 6, "head_width": 8, "r1_weight": 10.0},
    "distiller.MeanFlow": {"share": 0.5},
    "distiller.ProgressiveDistillation": {"start_steps": 4},
    "distiller.Reflow": {"num_pairs": 10, "teacher_steps": 2, "num_rounds": 2},
    "distiller.SCM": {"warmup_steps": 1},
    "distiller.Shortcut": {"average": part("average.Constant", decay=0.5), "share": 0.5},
}
CONDITIONERS = {
    "distiller.LCM": "conditioner.GuidanceScale",
    "distiller.MeanFlow": "conditioner.EndTime",
    "distiller.Shortcut": "conditioner.EndTime",
}


class Fresh:
    """`genever.execution.Start` of a run that left fresh weights."""

    def load(self, stage: Any, model: Any, codec: Any) -> None: ...


def train(name: str, run: RunDirectory, world: World) -> None:
    """Two steps of each of its rounds."""
    own = {"conditioner": part(CONDITIONERS[name])} if name in CONDITIONERS else {}
    quiet = {"sample_images": 0, "validate_samples": 0, "log_every": 1}
    stage = toy_stage(
        distiller=part(name, **ARGUMENTS.get(name, {})),
        start="toy",
        parallel=part("parallel.DDP"),
        optimizer=part("optimizer.AdamW", lr=1e-3),
        **own,
        **quiet,
    )
    composition = compose(stage, device=torch.device("cpu"), start=Fresh(), world=world)
    Trainer(composition=composition, run=run).train()


def train_all(folder: Path, world: World) -> None:
    for name in DISTILLERS:
        train(name, RunDirectory(folder / name), world)


if __name__ == "__main__":
    rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    train_all(folder, World(rank=rank, size=size))
    dist.destroy_process_group()
