"""A folder with small experiments, sweep files written into it, and a cluster that does what a test says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from genever.command import main
from genever.launch import Job, JobState, Profile, RunJob
from genever.launch._folder import JobFolder
from genever.parts import Catalog, load_catalog
from genever.runs import RunDirectory
from genever.sweeps import open_sweep

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
#: A digits experiment that trains in a second.
TINY = """\
include 'base.gin'
train.backbone         = @DiT()
train.loss             = @FlowMatching()
train.sampler          = @LogitNormal()
train.steps            = 20
train.batch_size       = 16
train.metrics          = []
train.precision        = 'fp32'
train.validate_samples = 16
train.log_every        = 5
DiT.width = 16
DiT.depth = 1
DiT.heads = 2
DiT.patch = 4
"""
LATER = """\
train.start      = 'digits/pretrain'
train.steps      = 20
train.batch_size = 16
train.optimizer  = @AdamW()
AdamW.lr         = 1e-4
"""
SCORES = """\
train.start            = 'digits/pretrain'
train.data             = @Candidates()
train.aligner          = @BradleyTerry()
train.steps            = 20
train.batch_size       = 16
train.sample_images    = 0
train.validate_samples = 0
train.optimizer        = @AdamW()
Candidates.data        = @Digits()
BradleyTerry.utility   = @reward.Ink()
"""
JUDGED = f"""\
{LATER}train.metrics          = [@metric.Reward()]
train.evaluate_samples = 16
train.validate_samples = 0
train.sample_images    = 0
metric.Reward.reward   = @Learned()
"""
UPSCALE = f"{TINY}train.conditioner = @LowResolution()\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: experiments/digits and experiments/sweeps. What judged.gin judges by is not said in it."""
    digits = tmp_path / "experiments/digits"
    digits.mkdir(parents=True)
    (tmp_path / "experiments/sweeps").mkdir()
    (digits / "base.gin").write_text((EXPERIMENTS / "digits/base.gin").read_text())
    (digits / "pretrain.gin").write_text(TINY)
    (digits / "later.gin").write_text(LATER)
    (digits / "scores.gin").write_text(SCORES)
    (digits / "judged.gin").write_text(JUDGED)
    (digits / "upscale.gin").write_text(UPSCALE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def sweep_file(folder: Path) -> Callable[..., Path]:
    """Writes a sweep file's text and gives its path."""

    def write(text: str, name: str = "a") -> Path:
        file = folder / "experiments/sweeps" / f"{name}.yaml"
        file.write_text(text)
        return file.relative_to(folder)

    return write


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


class FakeCluster:
    """Takes jobs and never runs them; a test says what becomes of each run.

    Args:
        root: where the runs are.
        jobs: by id, in the order in which they came.
        known: what it answers of each id.
        most: jobs that it takes before its submitter is killed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.jobs: dict[str, Job] = {}
        self.known: dict[str, JobState] = {}
        self.profiles: list[Profile] = []
        self.num_questions = 0
        self.most = 10_000

    def submit(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
        for job in jobs:
            folder = JobFolder.create(self.root, [job], self.profiles[-1], None)
            if len(self.jobs) >= self.most:
                raise KeyboardInterrupt
            number = str(len(self.jobs) + 1)
            folder.note_id(number)
            self.jobs[f"{number}_0"] = job
            self.known[f"{number}_0"] = JobState("queued", "Priority")
            yield job, f"{number}_0"

    def states(self, ids: Collection[str]) -> Mapping[str, JobState]:
        self.num_questions += 1
        return {job: state for job, state in self.known.items() if job in ids}

    def cancel(self, ids: Collection[str]) -> None:
        for job in set(ids) & set(self.known):
            del self.known[job]

    def end(self, run: RunDirectory, status: str = "finished", **facts: Any) -> None:
        """A run comes to an end, and its job with it."""
        job = next(job for job, one in reversed(self.jobs.items()) if run.path in one.runs)
        RunJob(run.path).started(attempt="1", started=0.0, saved_before=-1)
        RunJob(run.path).ended(gave_up=status == "failed")
        run.update_facts(status=status, **facts)
        self.known.pop(job, None)
        if status != "finished":
            for other in [other for other, one in self.jobs.items() if job in one.after]:
                self.known.pop(other, None)

    @property
    def waits_for(self) -> dict[str, tuple[str, ...]]:
        """What each job waits for."""
        return {number: job.after for number, job in self.jobs.items()}


@pytest.fixture
def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    fake = FakeCluster(folder / "runs")

    def connect(profile: Profile, root: Path, *, code: Path | None = None) -> FakeCluster:
        fake.profiles.append(profile)
        return fake

    monkeypatch.setattr("genever.sweeps._submit.connect", connect)
    monkeypatch.setattr("genever.launch._condition.connect", connect)
    monkeypatch.setattr("genever.sweeps._submit.freeze_code", lambda root, catalog: folder)
    return fake


@pytest.fixture
def genever(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """One command: its exit code, what it printed, and what it said on standard error."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def runs_of() -> Callable[..., list[RunDirectory]]:
    """The runs of a sweep's elements, in order."""

    def find(name: str = "a") -> list[RunDirectory]:
        return [run for _, run in open_sweep(name).runs()]

    return find
