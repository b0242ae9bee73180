"""Faults of a real SLURM: what was saved stays, and a run ends with the bits of one that was left in peace."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from genever.launch import Condition, RunJob, look
from genever.runs import RunDirectory
from genever.sweeps import open_sweep
from genever.training import load_model_state

EXPERIMENT = """\
train.data        = @SlowDigits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @LogitNormal()
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
PLUGIN = '''\
"""Digits that become slow to read, so that a fault hits a run in its middle."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from genever import hookimpl


@hookimpl
def register_parts(registry):
    registry.add("data.SlowDigits", "slow_digits:SlowDigits")


@dataclass(frozen=True, kw_only=True)
class SlowDigits:
    """Digits of which a process gets twelve batches at once, and then one in half a second.

    Args:
        gate: a file; once it is there, nothing waits.
    """

    provides: ClassVar[tuple[str, ...]] = ("labels",)
    gate: str

    def build(self, split):
        from genever_plugins.data import digits

        return SlowDataset(digits.Digits().build(split), Path(self.gate))


class SlowDataset:
    def __init__(self, digits, gate):
        self.digits, self.gate, self.spec, self.num_fetched = digits, gate, digits.spec, 0

    def __len__(self):
        return len(self.digits)

    def fetch(self, indices):
        self.num_fetched += 1
        time.sleep(0 if self.num_fetched <= 12 or self.gate.exists() else 0.5)
        return self.digits.fetch(indices)
'''
TWO_NODES = ("nodes=2", "interface=lo")
Submit = Callable[..., RunDirectory]
Undisturbed = Callable[[int], RunDirectory]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The experiment's file; the plugin lies beside its folder, as pip would leave it there."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "slow_digits.py").write_text(PLUGIN)
    about = folder / "slow_digits-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-digits\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[genever]\nslow-digits = slow_digits\n")
    file = folder / "digits/tiny.gin"
    file.parent.mkdir()
    file.write_text(EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        yield file


@pytest.fixture(scope="module")
def undisturbed(experiment: Path) -> Undisturbed:
    """What a run of one process, or of two, comes to when nothing happens to it. They are trained meanwhile."""
    words = ["run", experiment, "-b", gated(experiment), "--device=cpu", "--root", experiment.parent / "undisturbed"]
    training = {num: start_genever(*words, f"--processes={num}") for num in (1, 2)}
    told: dict[int, str] = {}

    def train(num_processes: int) -> RunDirectory:
        told[num_processes] = told.get(num_processes) or end_of(training[num_processes])
        return RunDirectory(Path(told[num_processes]))

    return train


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Where a file has to be for runs to hurry."""
    return tmp_path / "gate"


@pytest.fixture
def submit(cluster: Any, experiment: Path, gate: Path, tmp_path: Path) -> Submit:
    """Submits a run that dawdles when it has saved once."""

    def ask(*settings: str, root: Path = tmp_path / "runs") -> RunDirectory:
        chosen = [word for setting in ("minutes=5", *settings) for word in ("--set", setting)]
        return RunDirectory(Path(genever("run", experiment, "-b", gated(gate), "--root", root, "--on", "slurm", *chosen)))

    return ask


def genever(*words: str | Path) -> str:
    """What a command that must succeed prints."""
    return end_of(start_genever(*words))


def start_genever(*words: str | Path) -> subprocess.Popen[str]:
    left_out = ["--no-build"] if words[0] in ("run", "sweep") else []  # Other tests build; it takes seconds.
    command = [sys.executable, "-P", "-m", "genever", *map(str, words), *left_out]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(process: subprocess.Popen[str]) -> str:
    said, error = process.communicate()
    assert process.returncode == 0, error
    return said.strip()


def gated(gate: Path) -> str:
    return f"SlowDigits.gate = {str(gate)!r}"


def seen(run: RunDirectory) -> Condition:
    return look([run])[0]


def attempts(run: RunDirectory) -> list[dict[str, Any]]:
    return RunJob(run.path).attempts


def losses(run: RunDirectory) -> list[tuple[float, float]]:
    return [(line["step"], line["model/loss"]) for line in run.read_metrics() if "model/loss" in line]


def under_way(cluster: Any, *runs: RunDirectory) -> list[str]:
    """Waits until all have saved and gone on. Returns their jobs."""
    cluster.wait_for(lambda: all(run.saved_steps() and losses(run)[-1][0] > run.saved_steps()[0] for run in runs), 180)
    return [str(seen(run).job) for run in runs]


def process_of(run: RunDirectory, rank: int) -> psutil.Process:
    """The one process of this rank."""
    found = [
        process
        for process in psutil.process_iter(["name", "cmdline", "environ"])
        if {"genever.execution", str(run.path)} <= {*(process.info["cmdline"] or ())}
        and process.info["name"] != "srun"
        and process.info["environ"].get("SLURM_PROCID") == str(rank)
    ]
    assert len(found) == 1
    return found[0]


def bystand(cluster: Any, node: str) -> list[str]:
    """Jobs of somebody else: one that runs on this node, and one that waits."""
    jobs = [cluster.sbatch("sleep 1000", f"--nodelist={node}"), cluster.sbatch("true", "--hold")]
    cluster.wait_for(lambda: cluster.show(jobs[0])["JobState"] == "RUNNING")
    return jobs


def assert_untouched(cluster: Any, jobs: list[str]) -> None:
    states = [(cluster.show(job)["JobState"], cluster.show(job)["Restarts"]) for job in jobs]
    assert states == [("RUNNING", "0"), ("PENDING", "0")]


def hurry(cluster: Any, run: RunDirectory, gate: Path) -> None:
    """Waits until a run, which dawdles no more, has finished, and its job is over."""
    gate.touch()
    cluster.wait_for(lambda: not seen(run).is_live, 180)
    assert seen(run) == Condition(kind="finished")
    cluster.wait_for(lambda: "code" in attempts(run)[-1])


def assert_same_bits(run: RunDirectory, undisturbed: RunDirectory, saved: list[int]) -> None:
    """Every step was taken once, and what is saved is what would have been, and what was before the fault."""
    assert losses(run) == losses(undisturbed)
    assert {*run.saved_steps()} >= {*saved, *undisturbed.saved_steps()}
    for step in undisturbed.saved_steps():
        ours, theirs = (load_model_state(one, step, None) for one in (run, undisturbed))
        assert ours.keys() == theirs.keys()
        assert all(ours[name].equal(theirs[name]) for name in ours), step


def test_run_of_which_a_rank_is_killed_names_it_and_goes_on(
    cluster: Any, submit: Submit, gate: Path, undisturbed: Undisturbed
) -> None:
    run = submit("processes=2")
    under_way(cluster, run)
    others, saved = bystand(cluster, "n2"), run.saved_steps()
    process_of(run, 1).kill()
    hurry(cluster, run, gate)
    assert [one["reason"] for one in attempts(run)] == ["rank 1 was killed by SIGKILL, as when memory runs out", ""]
    assert_same_bits(run, undisturbed(2), saved)
    assert_untouched(cluster, others)


def test_runs_that_are_told_to_leave_or_queued_again_go_on(
    cluster: Any, submit: Submit, gate: Path, undisturbed: Undisturbed
) -> None:
    leaving, requeued = submit(*TWO_NODES), submit()
    jobs = under_way(cluster, leaving, requeued)
    others, saved = bystand(cluster, "n2"), [run.saved_steps() for run in (leaving, requeued)]
    cluster.run("scancel", "--signal=USR2", jobs[0])
    cluster.run("scontrol", "requeue", jobs[1])
    for run in (leaving, requeued):
        hurry(cluster, run, gate)
    assert [cluster.show(job)["Restarts"] for job in jobs] == ["1", "1"]
    assert [one["code"] for one in attempts(leaving)] == [75, 0]
    assert attempts(leaving)[0]["saved"] == attempts(leaving)[1]["saved_before"] > saved[0][-1]
    assert_same_bits(leaving, undisturbed(2), saved[0])
    assert_same_bits(requeued, undisturbed(1), saved[1])
    assert_untouched(cluster, others)


def test_run_of_which_a_node_loses_power_goes_on_once_it_is_back(
    cluster: Any, submit: Submit, gate: Path, undisturbed: Undisturbed
) -> None:
    run = submit(*TWO_NODES)
    [job] = under_way(cluster, run)
    others, saved = bystand(cluster, "n1"), run.saved_steps()
    cluster.kill("n2", jobs=True)
    cluster.wait_for(lambda: cluster.show(job)["JobState"] == "PENDING")
    cluster.revive("n2")
    hurry(cluster, run, gate)
    assert cluster.show(job)["Restarts"] == "1"
    assert_same_bits(run, undisturbed(2), saved)
    assert_untouched(cluster, others)


def test_run_that_lives_on_where_its_node_is_taken_for_dead_has_one_writer(
    cluster: Any, submit: Submit, gate: Path, undisturbed: Undisturbed
) -> None:
    run = submit()
    [job] = under_way(cluster, run)
    node, saved, old = cluster.show(job)["BatchHost"], run.saved_steps(), process_of(run, 0)
    others = bystand(cluster, {"n1": "n2", "n2": "n1"}[node])
    cluster.kill(node)
    cluster.wait_for(lambda: len(attempts(run)) == 2)
    assert old.is_running()
    cluster.wait_for(lambda: not old.is_running())
    hurry(cluster, run, gate)
    assert [one.get("code") for one in attempts(run)] == [None, 0]
    assert run.log.read_text().count("stopped at what is saved") == 1  # by the old process, before the new one began
    assert_same_bits(run, undisturbed(1), saved)
    assert_untouched(cluster, others)


def test_runs_finish_and_leave_while_the_controller_is_away(
    cluster: Any, submit: Submit, gate: Path, undisturbed: Undisturbed
) -> None:
    runs = finishing, leaving = [submit() for _ in range(2)]
    jobs = under_way(cluster, *runs)
    others, saved = bystand(cluster, "n2"), [run.saved_steps() for run in runs]
    cluster.wait_for_saved_state()
    cluster.kill("controller")
    process_of(leaving, 0).send_signal(signal.SIGUSR2)
    cluster.wait_for(lambda: leaving.facts["status"] == "preempted")
    gate.touch()
    cluster.wait_for(lambda: finishing.facts["status"] == "finished")
    cluster.revive("controller")
    for run, kept in zip(runs, saved, strict=True):
        hurry(cluster, run, gate)
        assert_same_bits(run, undisturbed(1), kept)
    assert [len(attempts(run)) for run in runs] == [1, 2]
    assert [cluster.show(job)["Restarts"] for job in jobs] == ["0", "1"]
    assert_untouched(cluster, others)


def test_sweeps_that_are_submitted_at_the_same_moment_share_what_they_share(
    cluster: Any, experiment: Path, gate: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    gate.touch()
    for name, seeds in (("one", [0, 1]), ("two", [1, 2])):
        text = f"experiment: {experiment}\non: slurm\nvary: {{seeds: {seeds}}}\nfixed: {{SlowDigits.gate: {gate}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    submitting = [start_genever("sweep", tmp_path / f"{name}.yaml", "--root", tmp_path) for name in ("one", "two")]
    for process in submitting:
        end_of(process)
    ones, twos = ([run for _, run in open_sweep(name, str(tmp_path)).runs()] for name in ("one", "two"))
    for run in ones + twos:
        hurry(cluster, run, gate)
        assert len(attempts(run)) == 1
    assert (ones[1].path, len({*ones, *twos})) == (twos[0].path, 3)
    assert_same_bits(ones[0], undisturbed(1), [])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 16 MB, which every node sees."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_run_whose_disk_is_full_says_so_and_goes_on_when_there_is_room(
    cluster: Any, submit: Submit, gate: Path, disk: Path, undisturbed: Undisturbed
) -> None:
    run = submit(root=disk)
    under_way(cluster, run)
    others, saved = bystand(cluster, "n2"), run.saved_steps()
    fill(disk / "ballast")
    cluster.wait_for(lambda: not seen(run).is_live)
    assert seen(run).kind == "failed"
    assert "No space left on device" in seen(run).reason
    assert {*run.saved_steps()} >= {*saved}
    (disk / "ballast").unlink()
    genever("resume", run.path, "--on", "slurm")
    hurry(cluster, run, gate)
    assert_same_bits(run, undisturbed(1), saved)
    assert_untouched(cluster, others)


def fill(ballast: Path) -> None:
    """Takes all that is left of a file system."""
    status = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(status.f_bavail * status.f_bsize))
