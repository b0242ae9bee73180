"""Sweeps on a real SLURM: whatever happens to a run, the others end with the bits of a sweep that was left in peace."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from genever.launch import Condition, RunJob
from genever.runs import RunDirectory
from genever.sweeps import SweepDirectory, conditions, open_sweep
from genever.training import load_model_state

EXPERIMENT = """\
train.data        = @Digits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
train.trackers    = [@Dawdler()]
train.steps       = 200
train.batch_size  = 16
train.log_every   = 1
train.save_every  = 10
train.keep_checkpoints = None
train.sample_images    = 0
train.validate_samples = 0
DiT.width         = 16
DiT.depth         = 1
DiT.heads         = 2
"""
LATER = "train.start = 'digits/tiny'\ntrain.steps = 10\ntrain.batch_size = 16\ntrain.sample_images = 0\n"
PLUGIN = '''\
"""A tracker that takes its time, so that what happens to a run happens in its middle."""

import time
from dataclasses import dataclass
from pathlib import Path

from genever import hookimpl


@hookimpl
def register_parts(registry):
    registry.add("tracker.Dawdler", "dawdler:Dawdler")


@dataclass(frozen=True, kw_only=True)
class Dawdler:
    """Waits 0.5 s at each step.

    Args:
        gate: a file; once it is there, nothing waits any more.
    """

    gate: str = ""

    def open(self, directory, *, step, config):
        return self

    def scalars(self, values, step):
        time.sleep(0 if Path(self.gate).exists() else 0.5)

    def image(self, name, file, step):
        pass

    def close(self):
        pass
'''
SWEEP = """\
experiment: digits/tiny.gin
on: slurm
vary: {{grid: {{AdamW.lr: [1e-3, 2e-3, 3e-3, 1e30]}}}}
fixed: {{Dawdler.gate: '{gate}'}}
resources: {{minutes: 5}}
"""


@pytest.fixture
def folder(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: digits/{tiny,later}.gin, and beside them the plugin, as pip would leave it there."""
    (tmp_path / "dawdler.py").write_text(PLUGIN)
    about = tmp_path / "dawdler-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dawdler\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[genever]\ndawdler = dawdler\n")
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/tiny.gin").write_text(EXPERIMENT)
    (tmp_path / "digits/later.gin").write_text(LATER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gate(folder: Path) -> Path:
    """Where a file has to be for runs to hurry."""
    return folder / "gate"


def genever(*words: str | Path) -> str:
    """What a command that must succeed says, to whomever."""
    left_out = ["--no-build"] if words[0] in ("run", "sweep") else []  # Other tests build; it takes seconds.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "genever", *map(str, words), *left_out],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def submit(name: str, text: str, root: str = "runs") -> SweepDirectory:
    Path(f"{name}.yaml").write_text(text)
    genever("sweep", f"{name}.yaml", "--root", root)
    return open_sweep(name, root)


def kinds(sweep: SweepDirectory) -> list[str]:
    return [one.kind for one in conditions(sweep)]


def over(sweep: SweepDirectory) -> list[Condition] | None:
    """How all of its runs ended; None while one lives."""
    found = conditions(sweep)
    return None if any(one.is_live for one in found) else found


def runs_of(sweep: SweepDirectory) -> list[RunDirectory]:
    return [run for _, run in sweep.runs()]


def assert_same_bits(run: RunDirectory, other: RunDirectory) -> None:
    """Every step was taken once, and all that was saved is the same."""
    losses = [
        [(line["step"], line["model/loss"]) for line in one.read_metrics() if "model/loss" in line] for one in (run, other)
    ]
    assert losses[0] == losses[1]
    assert {*run.saved_steps()} >= {*other.saved_steps()}
    for step in other.saved_steps():
        ours, theirs = (load_model_state(one, step, None) for one in (run, other))
        assert all(ours[name].equal(theirs[name]) for name in theirs), step


def test_sweep_survives_what_a_cluster_does_to_it(cluster: Any, gate: Path, folder: Path) -> None:
    (folder / "open").touch()
    calm = submit("story", SWEEP.format(gate=folder / "open").replace("on: slurm", "on: local"), root="calm")
    sweep = submit("story", SWEEP.format(gate=gate))
    good, diverging = runs_of(sweep)[:3], runs_of(sweep)[3]
    cluster.wait_for(lambda: all(len(run.saved_steps()) > 1 for run in good) and kinds(sweep)[3] == "failed", 180)

    # One is preempted: somebody more urgent wants two CPUs of the node on which it is.
    nodes = {run.path: cluster.show(conditions(sweep)[number].job)["BatchHost"] for number, run in enumerate(good)}
    node = nodes[good[0].path]
    cluster.sbatch("sleep 5", "--partition=urgent", f"--nodelist={node}", "--exclusive")
    cluster.wait_for(lambda: conditions(sweep)[0].kind == "queued again")

    # The other node is lost, with all that is on it.
    other = {"n1": "n2", "n2": "n1"}[node]
    lost = [number for number, run in enumerate(good) if nodes[run.path] == other]
    assert lost
    cluster.kill(other, jobs=True)
    cluster.wait_for(lambda: conditions(sweep)[lost[0]].kind == "queued again")
    cluster.revive(other)
    gate.touch()

    found = cluster.wait_for(lambda: over(sweep), 240)
    assert [one.kind for one in found] == ["finished", "finished", "finished", "failed"]
    assert all(len(RunJob(run.path).attempts) == 2 for run in good)
    cluster.wait_for(lambda: over(calm), 180)
    for run, undisturbed in zip(good, runs_of(calm), strict=False):
        assert_same_bits(run, undisturbed)
    told = genever("results", "story")
    assert f"digits/tiny/{diverging.path.name}" in told
    assert "NonFiniteError" in told
    assert "0 runs submitted" in genever("sweep", "story.yaml")


LIFECYCLE = """\
on: slurm
resources: {{minutes: 5}}
stages:
- name: base
  experiment: digits/tiny.gin
  vary: {{grid: {{AdamW.lr: [1e-3, 1e30]}}}}
  fixed: {{Dawdler.gate: '{gate}'}}
- name: later
  experiment: digits/later.gin
  vary: {{seeds: 2}}
"""


def test_lifecycle_goes_on_from_what_succeeded(cluster: Any, gate: Path) -> None:
    gate.touch()
    sweep = submit("life", LIFECYCLE.format(gate=gate))
    assert len(cluster.squeue()) == 6
    found = cluster.wait_for(lambda: over(sweep), 240)
    assert [one.kind for one in found] == ["finished", "failed", "finished", "finished", "cancelled", "cancelled"]
    assert [one.reason for one in found[4:]] == ["its train.start, 1, failed"] * 2
    assert runs_of(sweep)[2].facts["start"]["run"] == str(runs_of(sweep)[0].path)
    cluster.wait_for(lambda: not cluster.squeue())


def test_sweep_that_is_to_stop_stops_when_a_run_has_failed(cluster: Any, gate: Path) -> None:
    text = SWEEP.format(gate=gate).replace("[1e-3, 2e-3, 3e-3, 1e30]", "[1e30, 1e-3, 2e-3]")
    sweep = submit("stop", text + "limit: 1\non_failure: stop\n")
    found = cluster.wait_for(lambda: over(sweep), 180)
    assert [one.kind for one in found] == ["failed", "cancelled", "cancelled"]
    assert found[1].reason == f"job {found[0].job} failed, and the sweep stops then"
    assert not [run for run in runs_of(sweep)[1:] if RunJob(run.path).attempts]


@pytest.fixture
def submitting(folder: Path, gate: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`genever sweep` as it submits, nothing said."""
    Path("killed.yaml").write_text(SWEEP.format(gate=gate).replace("1e30", "4e-3"))
    command = [sys.executable, "-P", "-m", "genever", "sweep", "killed.yaml", "--no-build"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("made", [".jobs/*", ".jobs/*/id", "digits/tiny/*/resolved.gin"])
def test_submission_that_is_killed_is_neither_lost_nor_doubled(
    made: str, cluster: Any, folder: Path, submitting: subprocess.Popen[bytes]
) -> None:
    while not list((folder / "runs").glob(made)):
        time.sleep(0.001)
    submitting.send_signal(signal.SIGKILL)
    submitting.wait()
    genever("sweep", "killed.yaml")
    assert len(runs_of(open_sweep("killed"))) == len(list(Path("runs/digits/tiny").iterdir())) == 4
    assert len(cluster.squeue()) == 4
    genever("cancel", "killed")
    cluster.wait_for(lambda: not cluster.squeue())
    assert set(kinds(open_sweep("killed"))) <= {"cancelled", "stopped"}
