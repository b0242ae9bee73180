"""A run that is killed, wherever, and resumed ends with the same bits as one that was not."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from genever.runs import RunDirectory
from safetensors.torch import load_file

MORE = """\
train.averages    = {'ema': @average.Constant()}
train.steps       = 40
train.log_every   = 5
train.save_every  = 2
"""

# Kills the process with SIGKILL at the n-th call of a function, as a power cut would.
KILLED = """
import os, signal, sys
from genever.command import main
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
sys.exit(main(sys.argv[1:]))
"""


def genever(*words: str, script: str = "import sys; from genever.command import main; sys.exit(main(sys.argv[1:]))"):
    return subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


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


def only_run(root: Path) -> RunDirectory:
    return RunDirectory(next(root.glob("*/*/*/run.json")).parent)


@pytest.fixture(scope="module")
def experiment(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("experiments") / "small" / "killed.gin"
    file.parent.mkdir()
    file.write_text(small + MORE)
    return file


@pytest.fixture(scope="module")
def undisturbed(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    root = tmp_path_factory.mktemp("undisturbed")
    process = genever("run", str(experiment), "--root", str(root))
    assert process.wait() == 0
    return only_run(root)


def test_run_killed_at_random_moments_ends_with_the_same_bits(
    experiment: Path, undisturbed: RunDirectory, tmp_path: Path
) -> None:
    process, moments = genever("run", str(experiment), "--root", str(tmp_path)), random.Random(0)
    while not list(tmp_path.glob("*/*/*/checkpoints/step_*")):
        time.sleep(0.01)
    for _ in range(3):
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = genever("resume", str(only_run(tmp_path).path))
        time.sleep(moments.uniform(2.0, 5.0))
    process.kill()
    process.wait()
    assert genever("resume", str(only_run(tmp_path).path)).wait() == 0
    assert_same_end(only_run(tmp_path), undisturbed)


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
    experiment: Path, undisturbed: RunDirectory, tmp_path: Path, module: str, name: str, calls: int
) -> None:
    script = KILLED.format(module=module, name=name, calls=calls)
    process = genever("run", str(experiment), "--root", str(tmp_path), script=script)
    assert process.wait() == -signal.SIGKILL
    run = only_run(tmp_path)
    assert genever("resume", str(run.path)).wait() == 0
    assert_same_end(run, undisturbed)


def test_run_asked_to_stop_saves_and_says_how_to_resume(experiment: Path, undisturbed: RunDirectory, tmp_path: Path) -> None:
    process = genever("run", str(experiment), "--root", str(tmp_path))
    while not list(tmp_path.glob("*/*/*/checkpoints/step_*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 1
    run = only_run(tmp_path)
    assert run.facts["status"] == "stopped"
    assert f"genever resume {run.path}" in run.log.read_text()
    assert genever("resume", str(run.path)).wait() == 0
    assert_same_end(run, undisturbed)
