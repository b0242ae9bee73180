"""Sweeps on this machine's own queue, with real runs of a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from genever.launch import Condition, cancel_runs, look
from genever.runs import RunDirectory, list_runs
from genever.sweeps import conditions, open_sweep

Write = Callable[..., Path]
RunsOf = Callable[..., list[RunDirectory]]
LIFECYCLE = """\
stages:
- name: base
  experiment: ../digits/pretrain.gin
- name: reward
  experiment: ../digits/scores.gin
  vary: {grid: {AdamW.lr: [1e-3, 1e30]}}
- name: judged
  experiment: ../digits/judged.gin
  after: {train.start: base, Learned.run: reward}
"""


def _genever(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "genever", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _wait(sweep: str, seconds: float = 300) -> list[Condition]:
    deadline, found = time.monotonic() + seconds, conditions(open_sweep(sweep))
    while any(one.is_live for one in found):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        found = conditions(open_sweep(sweep))
    return found


@pytest.fixture(autouse=True)
def nothing_left(folder: Path) -> Iterator[None]:
    """What a test leaves in the queue is cancelled, and ends."""
    yield
    runs = list_runs(Path("runs")) if Path("runs").exists() else []
    cancel_runs([run for run, found in zip(runs, look(runs), strict=True) if found.is_live])
    while any(found.is_live for found in look(runs)):
        time.sleep(0.2)


def test_lifecycle_trains_what_it_can_and_says_what_it_could_not(sweep_file: Write, runs_of: RunsOf) -> None:
    done = _genever("sweep", sweep_file(LIFECYCLE))
    assert done.returncode == 0, done.stderr
    found = _wait("a")
    assert [one.kind for one in found] == ["finished", "finished", "failed", "finished", "cancelled"]
    assert "NonFiniteError" in found[2].reason
    assert found[4].reason == "its Learned.run, 2, failed"
    assert "raw/reward" in runs_of()[3].facts["results"]
    alone = _genever("run", "experiments/digits/pretrain.gin", "--root", "alone", "--device", "cpu")
    assert alone.returncode == 0, alone.stderr
    assert _weights(RunDirectory(Path(alone.stdout.strip()))) == _weights(runs_of()[0])
    assert _genever("sweep", sweep_file(LIFECYCLE)).stderr.startswith("a: 0 runs submitted")
    early = _genever("resume", runs_of()[4].path, "--device", "cpu")
    assert (early.returncode, f"it needs {runs_of()[2].path}, which has not finished" in early.stderr) == (2, True)


def test_sweep_that_is_submitted_twice_at_once_submits_each_run_once(sweep_file: Write, runs_of: RunsOf) -> None:
    for name in ("a", "b"):
        sweep_file("experiment: ../digits/pretrain.gin\nvary: {seeds: 5}\nresources: {setup: [sleep 8]}\n", name)
    command = [sys.executable, "-P", "-m", "genever", "sweep", "--no-build"]
    started = [subprocess.Popen([*command, f"experiments/sweeps/{name}.yaml"]) for name in ("a", "a", "b")]
    assert [process.wait() for process in started] == [0, 0, 0]
    assert len(list_runs(Path("runs"))) == 5
    assert [run.path for run in runs_of("a")] == [run.path for run in runs_of("b")]
    jobs = json.loads(Path("runs/.queue/queue.json").read_text())["jobs"]
    assert len(jobs) == 5


def test_search_ends_with_its_best(sweep_file: Write) -> None:
    over = "{AdamW.lr: {log_uniform: [1e-4, 1e-1]}}"
    file = sweep_file(f"experiment: ../digits/pretrain.gin\nsearch: {{metric: validation_loss, num: 2, over: {over}}}\n")
    done = _genever("sweep", file)
    assert done.returncode == 0, done.stderr
    assert [line[:3] for line in done.stderr.split("\n") if "validation_loss" in line] == ["1/2", "2/2"]


def _weights(run: RunDirectory) -> dict[str, Any]:
    from genever.training import load_model_state

    return {name: tensor.tolist() for name, tensor in load_model_state(run, run.saved_steps()[-1], None).items()}
