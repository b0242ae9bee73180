"""A run that is killed, wherever, and resumed ends with the same bits as one that was not."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.runs import RunDirectory
from genever.testing import start_together, train_together
from safetensors.torch import load_file

MORE = """\
train.averages    = {'ema': @average.Constant()}
train.steps       = 40
train.log_every   = 5
train.save_every  = 2
"""

NewRun = Callable[[str, Path], RunDirectory]

# Kills the process with SIGKILL at the n-th call of a function, as a power cut would.
KILLING = """
import os, signal
from genever.training import _checkpoint
calls = 0
def killing(original):
    def call(*words, **named):
        global calls
        calls += 1
        if calls == {calls}:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*words, **named)
    return call
{module}.{name} = killing({module}.{name})
"""


def weights(run: RunDirectory) -> dict:
    folder = run.checkpoint(run.saved_steps()[-1])
    return {(file.name, key): t for file in folder.glob("*.safetensors") for key, t in load_file(file).items()}


def assert_same_end(one: RunDirectory, other: RunDirectory) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(ours[key].equal(theirs[key]) for key in ours)
    assert (one.facts["status"], one.saved_steps()) == ("finished", other.saved_steps())
    losses = [
        [(line["step"], line["model/loss"]) for line in run.read_metrics() if "model/loss" in line] for run in (one, other)
    ]
    assert losses[0][-1] == losses[1][-1]
    assert len({step for step, _ in losses[0]}) == len(losses[0])


@pytest.fixture(scope="module")
def experiment(small: str) -> str:
    return small + MORE


@pytest.fixture(scope="module")
def undisturbed(experiment: str, new_run: NewRun, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run = new_run(experiment, tmp_path_factory.mktemp("undisturbed"))
    assert train_together(run.path, 1) == [0]
    return run


@pytest.fixture
def run(experiment: str, new_run: NewRun, tmp_path: Path) -> RunDirectory:
    return new_run(experiment, tmp_path)


def test_run_killed_at_random_moments_ends_with_the_same_bits(run: RunDirectory, undisturbed: RunDirectory) -> None:
    moments = random.Random(0)
    for number in range(4):
        saved = run.saved_steps()
        [process] = start_together(run.path, 1)
        while run.saved_steps() == saved and number < 3 and process.is_alive():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.5))
        process.kill()
        process.join()
    assert train_together(run.path, 1) == [0]
    assert_same_end(run, undisturbed)


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [
        ("_checkpoint.state_dict_saver", "save", 8),
        ("_checkpoint.torch", "save", 3),
        ("_checkpoint.os", "rename", 5),
        ("_checkpoint.shutil", "rmtree", 9),
    ],
)
def test_run_killed_during_a_save_ends_with_the_same_bits(
    run: RunDirectory, undisturbed: RunDirectory, module: str, name: str, calls: int
) -> None:
    [process] = start_together(run.path, 1, before=KILLING.format(module=module, name=name, calls=calls))
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert train_together(run.path, 1) == [0]
    assert_same_end(run, undisturbed)


def test_run_asked_to_stop_saves_and_says_how_to_resume(experiment: str, undisturbed: RunDirectory, tmp_path: Path) -> None:
    file = tmp_path / "stopped.gin"
    file.write_text(experiment)
    process = genever("run", str(file), "--root", str(tmp_path))
    while not list(tmp_path.glob("*/*/*/checkpoints/step_*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1
    run = RunDirectory(next(tmp_path.glob("*/*/*/run.json")).parent)
    assert run.facts["status"] == "stopped"
    assert f"genever resume {run.path}" in run.log.read_text()
    assert genever("resume", str(run.path)).wait() == 0
    assert_same_end(run, undisturbed)


def genever(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "genever", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
