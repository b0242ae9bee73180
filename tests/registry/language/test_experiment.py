"""An experiment under many bindings says what a full read with those bindings says."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.language import Config, Experiment, UserError, check, read, resolve
from genever.parts import Catalog

BLOCKS = (Path(__file__).parent / "mistakes.txt").read_text("utf-8").split("\n")
#: Lines of every kind of mistake, as -b would say them.
WRONG = tuple(line for line in BLOCKS if line and not line.startswith(("> ", " ")))
RIGHT = (
    *(f"train.steps = {number}" for number in range(1, 5)),
    *(f"LogitNormal.std = {number}" for number in range(1, 5)),
    "train.sampler = @Uniform()",
    "train.sampler = @outer/Shifted()",
    "outer/Shifted.inner = @LogitNormal()",
    "Shifted.inner = @outer/LogitNormal()",
    "train.aligner = @REPA()",
    "train.aligner = @FromStart()",
    "train.aligner = None",
    "train.start = 'digits/pretrain'",
    "train.start = None",
    "train.steps = %STEPS",
    "STEPS = 7",
    "train.keep_best = 'fd'",
    "train.trackers = [@Any()]",
    "Any.anything = 3",
    "train.log_every = 3",
)
BASE = "STEPS = 3\ntrain.sampler = @LogitNormal()\nLogitNormal.mean = 1.0\ntrain.log_every = 7\n"
FILES = {
    "experiments/digits/tune.gin": "include 'base.gin'\ntrain.backbone = @DiT()\ntrain.steps = %STEPS\nDiT.width = 64\n",
    "experiments/digits/later.gin": "train.start = 'digits/pretrain'\ntrain.steps = 3\nUNUSED = 1\n",
}


def outcome(config: Config, catalog: Catalog) -> dict[str, object]:
    """Everything that can be known of a config, as plain data."""
    composed = {"bindings": (config.bindings,), "starts": config.starts}
    bindings = {name: [list(map(repr, one.values())) for one in ones] for name, ones in composed.items()}
    return {
        "config": {**vars(config), **bindings, "macros": str(config.macros)},
        "problems": check(config, catalog),
        "resolved": frozen(config, catalog),
    }


def frozen(config: Config, catalog: Catalog) -> tuple[object, ...]:
    try:
        found = resolve(config, catalog)
    except UserError as error:
        return (str(error),)
    return (found.name, found.text, found.json, found.identity, found.composes, found.start, found.note)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("file", FILES)
def test_experiment_under_bindings_is_what_a_full_read_gives(
    file: str,
    seed: int,
    catalog: Catalog,
    good: str,
    write: Callable[[dict[str, str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"experiments/digits/base.gin": good + BASE, "experiments/digits/pretrain.gin": good + "DiT.depth = 4\n", **FILES})
    experiment, rng = Experiment.open(file, catalog=catalog), random.Random(seed)
    for _ in range(100):
        bindings = [*rng.choices(RIGHT, k=rng.randrange(4)), *rng.choices(WRONG, k=rng.choice((0, 0, 1, 3)))]
        full = read(file, bindings, catalog=catalog)
        assert outcome(experiment.with_bindings(bindings), catalog) == outcome(full, catalog), bindings


def test_experiment_is_read_once(
    catalog: Catalog, good: str, write: Callable[[dict[str, str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"x.gin": good})
    experiment = Experiment.open("x.gin", catalog=catalog)
    write({"x.gin": good + "train.stepz = 3\n"})
    assert check(experiment.with_bindings([]), catalog) == []
    assert len(check(read("x.gin", catalog=catalog), catalog)) == 1


def test_one_variant_leaves_nothing_behind_in_the_next(
    catalog: Catalog, good: str, write: Callable[[dict[str, str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"x.gin": good})
    experiment = Experiment.open("x.gin", catalog=catalog)
    assert check(experiment.with_bindings(["train.stepz = 3", "M = 3", "train.steps = %M"]), catalog)
    assert outcome(experiment.with_bindings([]), catalog) == outcome(read("x.gin", catalog=catalog), catalog)


def test_experiment_takes_over_from_a_run_that_is_planned(
    catalog: Catalog, good: str, write: Callable[[dict[str, str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write({"experiments/digits/pretrain.gin": good, **FILES})
    base = Experiment.open("experiments/digits/pretrain.gin", catalog=catalog).with_bindings(["DiT.width = 7"])
    later = Experiment.open("experiments/digits/later.gin", catalog=catalog)
    config = later.with_bindings(["train.start = 'digits/pretrain/next'"], planned={"digits/pretrain/next": base})
    resolved = resolve(config, catalog)
    assert "backbone.DiT.width = 7  # start, -b" in resolved.text
    assert "train.start = 'digits/pretrain/next'  # -b" in resolved.text
    assert resolved.start is not None
    assert resolved.start.pinned == "digits/pretrain/next"
