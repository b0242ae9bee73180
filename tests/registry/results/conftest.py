"""Runs and sweeps that nobody trained, written as training writes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from genever.results import Chapter, Table, chapters_of, gather, results_text
from genever.runs import RunDirectory
from genever.sweeps import Element, Manifest, StageRecord, SweepDirectory

NewRun = Callable[..., RunDirectory]
NewSweep = Callable[..., SweepDirectory]
Read = Callable[..., tuple[Table, list[Chapter]]]

FROZEN = {
    "train.data": "@data.Digits()",
    "train.sampler": "@sampler.Uniform()",
    "train.steps": "100",
    "train.seed": "0",
    "optimizer.AdamW.lr": "0.001",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def new_run(folder: Path) -> NewRun:
    """A run that finished, unless its facts say otherwise; runs are made in the order of their age."""
    made: list[RunDirectory] = []

    def create(
        results: Mapping[str, float | None] | None = None,
        *,
        losses: Sequence[float] = (0.5, 0.25),
        frozen: Mapping[str, str | None] | None = None,
        experiment: str = "digits/fake",
        **facts: Any,
    ) -> RunDirectory:
        identity = f"{len(made):08x}"
        run = RunDirectory.create(Path("runs"), experiment, identity, {"experiment": experiment, "identity": identity})
        values = {key: text for key, text in {**FROZEN, **(frozen or {})}.items() if text is not None}
        run.resolved.write_text(
            "# a run\n" + "".join(f"{key} = {text}  # {_place(key, frozen)}\n" for key, text in values.items())
        )
        for number, loss in enumerate(losses, 1):
            run.append_metrics(50 * number, {"model/loss": loss, "model/lr": 1e-3, "images_per_s": 900.0 + len(made)})
        told = {"average/fd": 10.0} if results is None else dict(results)
        if told and losses:
            line = {"step": 50 * len(losses), **told}
            with open(run.metrics, "a") as file:
                file.write(json.dumps(line) + "\n")
        run.update_facts(**{"status": "finished", "results": told, "created": float(len(made)), **facts})
        made.append(run)
        return run

    return create


def _place(key: str, frozen: Mapping[str, str | None] | None) -> str:
    return "a.gin:7" if frozen and key in frozen else "default"


@pytest.fixture
def new_sweep(folder: Path) -> NewSweep:
    """A sweep of runs, each with what varied; a run that is None was not made yet."""

    def create(
        elements: Sequence[tuple[Mapping[str, str], RunDirectory | None]] = (),
        *,
        name: str = "tiny",
        stages: Sequence[str] = ("",),
        of: Callable[[int], str] = lambda _: "",
        **manifest: Any,
    ) -> SweepDirectory:
        sweep = SweepDirectory((Path("runs") / "sweeps" / name).absolute())
        lines = tuple(
            Element(
                number=number,
                stage=of(number),
                varied=varied,
                run=run.path.relative_to("runs").as_posix() if run else None,
            )
            for number, (varied, run) in enumerate(elements)
        )
        records = tuple(StageRecord(name=stage, experiment="digits/fake", file="fake.gin") for stage in stages)
        sweep = sweep.write(Manifest(name=name, file=f"{folder}/{name}.yaml", stages=records, elements=lines, **manifest))
        sweep.file.write_text("experiment: fake.gin\n")
        return sweep

    return create


@pytest.fixture
def read(folder: Path) -> Read:
    """What a name stands for, ranked."""

    def read(name: str = "tiny", **asked: Any) -> tuple[Table, list[Chapter]]:
        table = gather(name, Path("runs"))
        return table, chapters_of(table, **asked)

    return read


@pytest.fixture
def shown(read: Read) -> Callable[..., str]:
    """The text of a terminal that is wide enough."""

    def show(name: str = "tiny", *, width: int = 120, by_seed: bool = False, **asked: Any) -> str:
        table, chapters = read(name, **asked)
        return results_text(table, chapters, width=width, by_seed=by_seed)

    return show
