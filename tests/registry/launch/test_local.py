"""The queue on this machine: in turn, within its limits, whoever is killed."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from genever.errors import UserError
from genever.launch import Cluster, Job, Profile, RunJob, _local, cancel_runs, connect, look
from genever.runs import RunDirectory

NewRun = Callable[..., RunDirectory]
Starts = Callable[..., list[dict[str, Any]]]
Until = Callable[..., Any]


@pytest.fixture
def queue(root: Path, snapshot: Path, until: Until) -> Iterator[Callable[..., Cluster]]:
    """A local queue of a profile; in the end, nothing that it started is left."""

    def make(**settings: Any) -> Cluster:
        return connect(Profile(**settings), root, code=snapshot)

    yield make
    ids = _jobs(root)
    connect(Profile(), root).cancel(ids)
    until(lambda: not connect(Profile(), root).states(ids))


def _jobs(root: Path) -> dict[str, Any]:
    file = root / ".queue/queue.json"
    return json.loads(file.read_text())["jobs"] if file.exists() else {}


def _submit(cluster: Cluster, *runs: RunDirectory, after: Sequence[str] = ()) -> list[str]:
    return [job for _, job in cluster.submit([Job(name="fake", runs=(run.path,), after=tuple(after)) for run in runs])]


def _statuses(*runs: RunDirectory) -> list[str]:
    return [run.facts["status"] for run in runs]


def test_jobs_run_from_the_snapshot_with_the_profiles_environment(
    queue: Callable[..., Cluster], snapshot: Path, new_run: NewRun, starts: Starts, until: Until
) -> None:
    run = new_run()
    cluster = queue(environment={"WHO": "it's me"}, setup=["export SAID=$((1 + 1))"], cpus_per_process=3)
    [job] = _submit(cluster, run)
    until(lambda: not cluster.states([job]))
    [told] = starts(run)
    assert (told["WHO"], told["SAID"], told["OMP_NUM_THREADS"], told["argv"]) == ("it's me", "2", "3", ["--device", "cpu"])
    assert Path(told["file"]).is_relative_to(snapshot)
    assert _statuses(run) == ["finished"]


def test_jobs_wait_for_their_turn(queue: Callable[..., Cluster], new_run: NewRun, until: Until) -> None:
    first, second = new_run(steps=10_000), new_run()
    cluster = queue()
    ids = _submit(cluster, first, second)
    until(lambda: _statuses(first) == ["running"])
    assert [cluster.states(ids)[job].phase for job in ids] == ["running", "queued"]
    cluster.cancel(ids[:1])
    until(lambda: not cluster.states(ids))
    assert _statuses(first, second) == ["stopped", "finished"]


def test_limit_lets_several_jobs_run_at_once(queue: Callable[..., Cluster], new_run: NewRun, until: Until) -> None:
    runs = [new_run(steps=10_000) for _ in range(3)]
    _submit(queue(limit=2), *runs)
    until(lambda: _statuses(*runs) == ["running", "running", "created"])


def test_gpus_are_given_to_one_job_at_a_time(
    queue: Callable[..., Cluster], new_run: NewRun, starts: Starts, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    runs = [new_run(steps=10_000) for _ in range(3)]
    cluster = queue(processes=2, gpus_per_process=1)
    with pytest.raises(UserError, match=r"the profile local: a job asks for 4 GPUs, and this machine has 3"):
        _submit(queue(processes=4, gpus_per_process=1), runs[0])
    ids = _submit(cluster, *runs[:2])
    until(lambda: starts(runs[0]))
    assert (starts(runs[0])[0]["CUDA_VISIBLE_DEVICES"], cluster.states(ids)[ids[1]].phase) == ("4,5", "queued")
    cluster.cancel(ids[:1])
    until(lambda: starts(runs[1]))


def test_job_waits_for_another_to_succeed(queue: Callable[..., Cluster], root: Path, new_run: NewRun, until: Until) -> None:
    good, bad = new_run(), new_run(death={"rank": 0, "step": 0, "how": "nan"})
    child, orphan, grandchild = new_run(), new_run(), new_run()
    cluster = queue(limit=2)
    after_good, after_bad = _submit(cluster, good, bad)
    _submit(cluster, child, after=[after_good])
    dropped = _submit(cluster, orphan, after=[after_good, after_bad])
    _submit(cluster, grandchild, after=dropped)
    until(lambda: not cluster.states(_jobs(root)))
    assert _statuses(good, bad, child, orphan, grandchild) == ["finished", "failed", "finished", "created", "created"]


def test_failed_job_cancels_the_rest_and_says_why(
    queue: Callable[..., Cluster], tmp_path: Path, new_run: NewRun, until: Until
) -> None:
    rest, cluster = tmp_path / "runs.txt", queue()
    runs = [new_run(death={"rank": 0, "step": 0, "how": "nan"}), new_run()]
    rest.write_text("".join(f"{run.path}\n" for run in runs))
    ids = [job for _, job in cluster.submit([Job(name="fake", runs=(run.path,), rest=rest) for run in runs])]
    until(lambda: not cluster.states(ids))
    failed, stopped = look(runs)
    assert (failed.kind, stopped.kind) == ("failed", "cancelled")
    assert stopped.reason == "job 1_0 failed, and the sweep stops then"


def test_run_asked_to_leave_goes_back_into_the_queue(
    queue: Callable[..., Cluster], root: Path, new_run: NewRun, starts: Starts, until: Until
) -> None:
    run = new_run(steps=60)
    cluster = queue()
    [job] = _submit(cluster, run)
    until(lambda: _statuses(run) == ["running"])
    os.kill(_jobs(root)[job]["pid"], signal.SIGUSR2)
    until(lambda: not cluster.states([job]))
    assert (_statuses(run), len(starts(run))) == (["finished"], 2)


def test_shared_job_leaves_the_queue_once_no_run_needs_it(queue: Callable[..., Cluster], new_run: NewRun) -> None:
    given_up, moved, waiting = new_run(), new_run(), new_run()
    cluster = queue()
    _submit(cluster, new_run(steps=10_000))
    [(_, job)] = cluster.submit([Job(name="fake", runs=tuple(run.path for run in (given_up, moved, waiting)))])
    RunJob(given_up.path).started(attempt="0", started=0.0, saved_before=-1)
    RunJob(given_up.path).ended(gave_up=True)
    [other] = _submit(cluster, moved)
    cancel_runs([waiting])
    assert set(cluster.states([job, other])) == {other}


def test_killed_worker_loses_nothing(
    queue: Callable[..., Cluster], root: Path, new_run: NewRun, starts: Starts, until: Until
) -> None:
    runs = [new_run(steps=60), new_run()]
    cluster = queue()
    ids = _submit(cluster, *runs)
    until(lambda: _statuses(runs[0]) == ["running"])
    os.kill(_worker(root), signal.SIGKILL)
    until(lambda: not cluster.states(ids))
    assert _statuses(*runs) == ["finished", "finished"]
    assert [len(starts(run)) for run in runs] == [1, 1]


def test_killed_job_is_started_again(
    queue: Callable[..., Cluster], root: Path, new_run: NewRun, starts: Starts, until: Until
) -> None:
    run = new_run(steps=60)
    cluster = queue()
    [job] = _submit(cluster, run)
    until(lambda: _statuses(run) == ["running"])
    os.kill(_jobs(root)[job]["pid"], signal.SIGKILL)
    os.kill(starts(run)[0]["pid"], signal.SIGKILL)
    until(lambda: not cluster.states([job]))
    assert (_statuses(run), len(starts(run))) == (["finished"], 2)


def test_job_whose_set_up_fails_is_over(queue: Callable[..., Cluster], new_run: NewRun, until: Until) -> None:
    run = new_run()
    cluster = queue(setup=["echo no such module >&2", "exit 3"])
    [job] = _submit(cluster, run)
    until(lambda: not cluster.states([job]))
    assert _statuses(run) == ["created"]


@pytest.mark.parametrize("gone", ["the folder it was submitted from", "its own folder"])
def test_job_that_cannot_be_started_is_over_and_holds_up_no_other(
    gone: str, queue: Callable[..., Cluster], tmp_path: Path, new_run: NewRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "left").mkdir()
    bad, good, cluster = new_run(), new_run(), queue()
    with monkeypatch.context() as patch:
        patch.setattr("genever.launch._local._wake", lambda *_: None)
        patch.chdir(tmp_path / "left")
        ids = _submit(cluster, bad)
    folder = RunJob(bad.path).folder
    assert folder
    shutil.rmtree(tmp_path / "left" if gone != "its own folder" else folder.path)
    ids += _submit(cluster, good)
    until(lambda: not cluster.states(ids))
    assert _statuses(bad, good) == ["created", "finished"]
    told = (
        f"The job cannot be started: [Errno 2] No such file or directory: '{tmp_path}/left'. Mend that, and submit it again."
    )
    assert gone == "its own folder" or look([bad])[0].reason.endswith(f"ends: {told}")


def _start_and_die(run: RunDirectory, cluster: Cluster, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Submits a run to a queue whose worker is killed as soon as it has started it. Returns the job."""

    def spawn(*arguments: Any) -> Any:
        spawned(*arguments)
        raise KeyboardInterrupt

    spawned = _local._spawn
    with monkeypatch.context() as patch:
        patch.setattr(_local, "_wake", lambda *_: None)
        patch.setattr(_local, "_spawn", spawn)
        [job] = _submit(cluster, run)
        with pytest.raises(KeyboardInterrupt):
            _local.work(root)
    return job


def test_job_that_a_dying_worker_started_is_not_started_again(
    queue: Callable[..., Cluster], root: Path, new_run: NewRun, starts: Starts, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cluster = new_run(steps=60), queue(limit=2)
    job = _start_and_die(run, cluster, root, monkeypatch)
    until(lambda: not cluster.states([job]))
    assert (_statuses(run), len(starts(run))) == (["finished"], 1)


def test_job_that_a_dying_worker_started_can_be_cancelled(
    queue: Callable[..., Cluster], root: Path, new_run: NewRun, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cluster = new_run(steps=10_000), queue()
    job = _start_and_die(run, cluster, root, monkeypatch)
    until(lambda: _statuses(run) == ["running"])
    cancel_runs([run])
    until(lambda: not cluster.states([job]))
    assert _statuses(run) == ["stopped"]


def _worker(root: Path) -> int:
    """The process that holds the worker's lock."""
    inode = (root / ".queue/worker.lock").stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return next(int(line.split()[4]) for line in lines if line.split()[5].endswith(f":{inode}") and "FLOCK" in line)
