"""Runs on a real SLURM: submitted, preempted, out of time, failing, cancelled, and submitters that are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import genever
import pytest
from genever.errors import UserError
from genever.launch import Condition, Job, Profile, RunJob, SlurmSettings, cancel_runs, connect, look
from genever.runs import RunDirectory
from genever.testing import train_together
from genever.training import load_model_state

ROOT = Path(__file__).parents[2]
EXPERIMENT = ROOT / "experiments/digits/pretrain.gin"
SMALL = {"DiT.width": 16, "DiT.depth": 1, "DiT.heads": 2, "train.batch_size": 8, "train.evaluate_samples": 8}
Submit = Callable[..., RunDirectory]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A snapshot of this very code, but for the ranks, which are `fake_rank.py` and need no torch."""
    package = tmp_path / "code/genever"
    (package / "execution").mkdir(parents=True)
    for file in Path(genever.__file__).parent.iterdir():
        if file.name != "execution":
            (package / file.name).symlink_to(file)
    (package / "execution/__init__.py").touch()
    (package / "execution/__main__.py").symlink_to(ROOT / "tests/registry/launch/fake_rank.py")
    return package.parent


@pytest.fixture
def submit(cluster: Any, root: Path, stand_ins: Path) -> Submit:
    """Submits a run that stand-ins train."""

    def ask(plan: Mapping[str, Any] | None = None, *, after: tuple[str, ...] = (), **settings: Any) -> RunDirectory:
        run = RunDirectory.create(root, "digits/fake", "0123456789", {"experiment": "digits/fake"})
        run.resolved.touch()
        (run.path / "plan.json").write_text(json.dumps(plan or {}))
        slurm = SlurmSettings(**settings.pop("slurm", {}))
        profile = Profile(kind="slurm", minutes=5, slurm=slurm, **settings)
        [_] = connect(profile, root, code=stand_ins).submit([Job(name="fake", runs=(run.path,), after=after)])
        return run

    return ask


def _seen(run: RunDirectory) -> Condition:
    return look([run])[0]


def _genever(*words: str, root: Path, code: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"PYTHONPATH": str(code)} if code else {})}
    left_out = ["--no-build"] if words[0] in ("run", "sweep") else []  # Other tests build; it takes seconds.
    command = [sys.executable, "-P", "-m", "genever", *words, "--root", str(root), *left_out]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def _bindings(steps: int) -> list[str]:
    return [f"{key} = {value}" for key, value in {**SMALL, "train.steps": steps}.items()]


def _train(root: Path, *settings: str, steps: int, code: Path | None = None) -> RunDirectory:
    """`genever run` of a small model on SLURM."""
    bindings = [word for binding in _bindings(steps) for word in ("-b", binding)]
    chosen = [word for setting in settings for word in ("--set", setting)]
    done = _genever("run", str(EXPERIMENT), *bindings, "--on", "slurm", *chosen, root=root, code=code)
    assert done.returncode == 0, done.stderr
    return RunDirectory(Path(done.stdout.strip()))


def _weights(run: RunDirectory) -> dict[str, bytes]:
    return {name: one.numpy().tobytes() for name, one in load_model_state(run, run.saved_steps()[-1], None).items()}


def test_job_runs_from_the_code_as_it_was_when_it_was_submitted(cluster: Any, root: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "registry/genever", checkout / "genever")
    shutil.copytree(ROOT / "plugins/genever_plugins", checkout / "genever_plugins")
    run = _train(root, "slurm.options.hold=", steps=2, code=checkout)
    assert (_seen(run).kind, _seen(run).reason) == ("queued", "JobHeldUser")
    (checkout / "genever/training/_loop.py").write_text("raise RuntimeError('edited after submission')\n")
    cluster.run("scontrol", "release", _seen(run).job)
    cluster.wait_for(lambda: not _seen(run).is_live)
    assert _seen(run) == Condition(kind="finished")


def test_preempted_run_saves_queues_once_and_ends_with_the_same_bits(cluster: Any, root: Path, freeze: Any) -> None:
    undisturbed = freeze(EXPERIMENT, root / "undisturbed", *_bindings(400))
    assert train_together(undisturbed.path, 2) == [0, 0]
    run = _train(root, "nodes=2", "interface=lo", "slurm.partition=normal", steps=400)
    cluster.wait_for(lambda: run.facts["status"] == "running")
    urgent = cluster.sbatch("sleep 2", "--partition=urgent", "--nodes=2", "--exclusive")
    cluster.wait_for(lambda: _seen(run).kind == "queued again")
    cluster.wait_for(lambda: cluster.show(urgent)["JobState"] == "COMPLETED")
    cluster.wait_for(lambda: _seen(run).kind == "finished" and not cluster.squeue())
    assert [attempt["code"] for attempt in RunJob(run.path).attempts] == [75, 0]
    assert cluster.show(RunJob(run.path).attempts[0]["attempt"].partition("-")[0])["Restarts"] == "1"
    assert _weights(run) == _weights(undisturbed)


def test_run_that_is_out_of_time_saves_and_goes_on(cluster: Any, submit: Submit) -> None:
    run = submit({"steps": 400, "seconds": 0.1}, slurm={"signal_before_s": 50})
    cluster.run("scontrol", "update", f"JobId={_seen(run).job}", "TimeLimit=1")
    cluster.wait_for(lambda: _seen(run).kind == "queued again")
    cluster.run("scontrol", "update", f"JobId={_seen(run).job}", "TimeLimit=5")
    saved = max(run.saved_steps())
    cluster.wait_for(lambda: _seen(run).kind == "finished")
    assert [attempt["saved_before"] for attempt in RunJob(run.path).attempts] == [-1, saved]


def test_job_that_fails_at_its_start_is_told_with_the_end_of_its_log(cluster: Any, root: Path, submit: Submit) -> None:
    run = submit(setup=["echo there is no such module >&2", "exit 3"])
    cluster.wait_for(lambda: not _seen(run).is_live)
    told = _genever("status", str(run.path), "--json", root=root)
    [found] = json.loads(told.stdout)
    assert found["kind"] == "failed"
    assert found["reason"].endswith("_0_log.out ends: there is no such module")


def test_rank_that_is_killed_is_named_and_started_again(cluster: Any, submit: Submit) -> None:
    run = submit({"steps": 50, "death": {"rank": 1, "step": 3, "how": "kill", "times": 1}}, nodes=2)
    cluster.wait_for(lambda: _seen(run).kind == "finished" and not cluster.squeue())
    assert [attempt["reason"] for attempt in RunJob(run.path).attempts] == [
        "rank 1 was killed by SIGKILL, as when memory runs out",
        "",
    ]


def test_run_of_a_node_that_dies_goes_on(cluster: Any, submit: Submit) -> None:
    run = submit({"steps": 60, "seconds": 0.1})
    cluster.wait_for(lambda: _seen(run).kind == "running")
    job = _seen(run).job
    cluster.kill(cluster.show(job)["BatchHost"], jobs=True)
    cluster.wait_for(lambda: _seen(run).kind == "finished")
    assert cluster.show(job)["Restarts"] == "1"


def test_submission_whose_submitter_was_killed_is_not_lost(
    cluster: Any, root: Path, stand_ins: Path, tmp_path: Path
) -> None:
    path = _path_with_sbatch(tmp_path / "bin", 'kill -9 "$PPID"; sleep 1')
    submitted = _submit_elsewhere(root, stand_ins, path)
    assert submitted.returncode == -signal.SIGKILL
    [run] = [RunDirectory(file.parent) for file in root.glob("*/*/*/run.json")]
    assert RunJob(run.path).folder.id == RunJob(run.path).folder.name
    cluster.wait_for(lambda: _seen(run).kind == "finished")
    assert RunJob(run.path).folder.id.isdecimal()


def test_submission_cut_off_before_sbatch_is_told(cluster: Any, root: Path, stand_ins: Path, tmp_path: Path) -> None:
    path = _path_with_sbatch(tmp_path / "bin", "", before='kill -9 "$PPID"; exit 1')
    assert _submit_elsewhere(root, stand_ins, path).returncode == -signal.SIGKILL
    [run] = [RunDirectory(file.parent) for file in root.glob("*/*/*/run.json")]
    assert (_seen(run).kind, "it never began" in _seen(run).reason) == ("lost", True)


def _path_with_sbatch(folder: Path, afterwards: str, before: str = "") -> str:
    """A PATH on which sbatch does something else, too."""
    folder.mkdir()
    (folder / "sbatch").write_text(f'#!/bin/bash\n{before}\n{shutil.which("sbatch")} "$@"\n{afterwards}\n')
    (folder / "sbatch").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def _submit_elsewhere(root: Path, code: Path, path: str) -> subprocess.CompletedProcess[str]:
    script = """
import sys
from pathlib import Path
from genever.launch import Job, Profile, connect
from genever.runs import RunDirectory
root, code = map(Path, sys.argv[1:])
run = RunDirectory.create(root, "digits/fake", "0123456789", {"experiment": "digits/fake"})
run.resolved.touch()
list(connect(Profile(kind="slurm", setup=["sleep 2"]), root, code=code).submit([Job(name="fake", runs=(run.path,))]))
"""
    command = [sys.executable, "-c", script, str(root), str(code)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)


def test_job_waits_for_others_and_is_dropped_when_one_fails(cluster: Any, submit: Submit) -> None:
    good, bad = submit(), submit({"death": {"rank": 0, "step": 0, "how": "nan"}})
    jobs = tuple(str(_seen(run).job) for run in (good, bad))
    after_good, after_bad = submit(after=jobs[:1]), submit(after=jobs)
    cluster.wait_for(lambda: not any(_seen(run).is_live for run in (good, bad, after_good, after_bad)))
    assert [_seen(run).kind for run in (good, bad, after_good, after_bad)] == ["finished", "failed", "finished", "cancelled"]
    assert _seen(after_bad).reason == f"one of the jobs {', '.join(jobs)} did not succeed, and this one waits for it"


def test_cancelled_jobs_save_and_stop_or_never_start(cluster: Any, submit: Submit) -> None:
    runs = [submit({"steps": 10_000}), submit(slurm={"options": {"hold": ""}})]
    cluster.wait_for(lambda: _seen(runs[0]).kind == "running")
    cancel_runs(runs)
    cluster.wait_for(lambda: [_seen(run).kind for run in runs] == ["cancelled", "cancelled"])
    assert [len(run.saved_steps()) for run in runs] == [1, 0]


def test_job_that_is_cancelled_while_it_leaves_is_not_queued_again(cluster: Any, submit: Submit) -> None:
    run = submit({"steps": 10_000, "linger": 2})
    cluster.wait_for(lambda: _seen(run).kind == "running")
    job = _seen(run).job
    cluster.run("scancel", "--signal=USR2", job)
    cluster.run("scancel", job)
    cluster.wait_for(lambda: cluster.show(job)["JobState"] == "CANCELLED" and job not in cluster.squeue())


def test_one_run_of_a_shared_job_is_cancelled_alone(cluster: Any, root: Path, stand_ins: Path) -> None:
    runs = [RunDirectory.create(root, "digits/fake", "0123456789", {}) for _ in range(2)]
    for run, steps in zip(runs, (10_000, 120), strict=True):
        run.resolved.touch()
        (run.path / "plan.json").write_text(json.dumps({"steps": steps, "seconds": 0.1}))
    job = Job(name="shared", runs=tuple(run.path for run in runs))
    list(connect(Profile(kind="slurm"), root, code=stand_ins).submit([job]))
    cluster.wait_for(lambda: all(_seen(run).kind == "running" for run in runs))
    cancel_runs(runs[:1])
    cluster.wait_for(lambda: not any(_seen(run).is_live for run in runs))
    assert [_seen(run).kind for run in runs] == ["cancelled", "finished"]


def test_arrays_are_cut_where_the_cluster_wants_them_cut(cluster: Any, root: Path, stand_ins: Path) -> None:
    runs = [RunDirectory.create(root, "digits/fake", "0123456789", {}) for _ in range(5)]
    profile = Profile(kind="slurm", slurm=SlurmSettings(max_array_size=2))
    slurm = connect(profile, root, code=stand_ins)
    ids = [job for _, job in slurm.submit([Job(name="many", runs=(run.path,)) for run in runs])]
    assert len({job.partition("_")[0] for job in ids}) == 3
    cluster.wait_for(lambda: not slurm.states(ids))
    assert [_seen(run).kind for run in runs] == ["finished"] * 5


def test_limit_holds_for_several_arrays_and_submissions(cluster: Any, root: Path, stand_ins: Path) -> None:
    runs = [RunDirectory.create(root, "digits/fake", "0123456789", {}) for _ in range(6)]
    for run in runs:
        (run.path / "plan.json").write_text('{"steps": 10, "seconds": 0.1}')
    profile = Profile(kind="slurm", limit=2, slurm=SlurmSettings(max_array_size=2))
    slurm = connect(profile, root, code=stand_ins)
    ids = [job for _, job in slurm.submit([Job(name="many", runs=(run.path,)) for run in runs[:3]])]
    ids += [job for _, job in slurm.submit([Job(name="more", runs=(run.path,), beside=tuple(ids)) for run in runs[3:]])]
    at_once: list[int] = []

    def over() -> bool:
        states = slurm.states(ids)
        at_once.append(sum(state.phase == "running" for state in states.values()))
        return not states

    cluster.wait_for(over)
    assert [run.facts["status"] for run in runs] == ["finished"] * 6
    assert max(at_once) == 2


def test_resources_are_asked_for(cluster: Any, submit: Submit) -> None:
    run = submit(nodes=2, processes=2, gpus_per_process=1, memory_gb=1.5, environment={"WHO": "me"})
    cluster.wait_for(lambda: _seen(run).kind == "finished" and not cluster.squeue())
    told = [json.loads((run.path / f"env.{rank}.jsonl").read_text()) for rank in range(4)]
    assert [(one["SLURM_LOCALID"], one["WHO"], one["argv"]) for one in told] == [("0", "me", []), ("1", "me", [])] * 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"slurm": {"partition": "nope"}}, "slurm.partition = 'nope'"),
        ({"slurm": {"nodelist": "n9"}}, "slurm.nodelist = 'n9'"),
        ({"slurm": {"constraint": "fast"}}, "slurm.constraint = 'fast'"),
        ({"slurm": {"options": {"nope": "1"}}}, "slurm.options.nope = '1'"),
        ({"memory_gb": 9000.0}, "memory_gb = 9000.0"),
        ({"processes": 3, "gpus_per_process": 1}, "gpus_per_process = 1"),
    ],
)
def test_refusal_names_the_setting(submit: Submit, root: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match="SLURM refuses the job: ") as refusal:
        submit(**settings)
    assert message in str(refusal.value)
    assert list((root / ".jobs").iterdir()) == []


def test_controller_that_is_away_loses_nothing(cluster: Any, submit: Submit) -> None:
    run = submit({"steps": 200, "seconds": 0.1})
    cluster.wait_for(lambda: _seen(run).kind == "running")
    cluster.wait_for_saved_state()
    cluster.kill("controller")
    found = _seen(run)
    assert (found.kind, "controller" in found.reason) == ("running", True)
    cluster.revive("controller")
    cluster.wait_for(lambda: _seen(run).kind == "finished" and not cluster.squeue())


@pytest.fixture
def unaccounted(cluster: Any, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster without accounting, and all commands talk to it."""
    other = type(cluster)(tmp_path_factory.mktemp("off"))
    started = other.tool("start", "--no-accounting")
    assert started.returncode == 0, started.stderr
    monkeypatch.setenv("SLURM_CONF", str(other.folder / "etc/slurm.conf"))
    yield other
    assert other.tool("stop").returncode == 0


def test_everything_is_known_without_accounting(unaccounted: Any, submit: Submit) -> None:
    good, bad = submit({"steps": 30, "seconds": 0.1}), submit({"death": {"rank": 0, "step": 0, "how": "wrong"}})
    stopped, failed = submit({"steps": 10_000}), submit(setup=["exit 3"])
    runs = [good, bad, stopped, failed]
    unaccounted.wait_for(lambda: _seen(stopped).kind == "running")
    cancel_runs([stopped])
    unaccounted.wait_for(lambda: not any(found.is_live for found in look(runs)))
    assert [_seen(run).kind for run in runs] == ["finished", "failed", "cancelled", "failed"]
