"""What a job does with its runs, whatever becomes of their ranks."""

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from genever.launch import Job, Profile
from genever.launch._folder import JobFolder, RunJob
from genever.launch._ranks import spawn_here
from genever.launch._supervisor import supervise
from genever.runs import RunDirectory

NewRun = Callable[..., RunDirectory]
Starts = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.usefixtures("fake_ranks")


def _supervise(*runs: RunDirectory, processes: int = 2, retries: int = 0) -> int:
    return supervise(runs, spawn_here(Profile(processes=processes)), token="t", retries=retries)


@pytest.fixture
def send_once_running(starts: Starts, until: Callable[..., Any]) -> Iterator[Callable[[RunDirectory, int], None]]:
    """Sends this process a signal once two ranks train."""
    senders: list[threading.Thread] = []

    def send(run: RunDirectory, number: int) -> None:
        until(lambda: run.facts["status"] == "running" and len(starts(run)) == len(starts(run, 1)))
        os.kill(os.getpid(), number)

    def start(run: RunDirectory, number: int) -> None:
        senders.append(threading.Thread(target=send, args=(run, number)))
        senders[-1].start()

    yield start
    for sender in senders:
        sender.join()


def test_ranks_are_told_who_they_are(new_run: NewRun, starts: Starts) -> None:
    run = new_run()
    assert _supervise(run) == 0
    told = [starts(run, rank)[0] for rank in (0, 1)]
    assert [(one["RANK"], one["LOCAL_RANK"], one["WORLD_SIZE"]) for one in told] == [("0", "0", "2"), ("1", "1", "2")]
    assert told[0]["GENEVER_ATTEMPT"] == told[1]["GENEVER_ATTEMPT"]
    assert [attempt["code"] for attempt in RunJob(run.path).attempts] == [0]


def test_first_failure_stops_the_others_and_is_the_one_that_is_told(new_run: NewRun) -> None:
    run = new_run(steps=10_000, death={"rank": 1, "step": 2, "how": "raise"})
    assert _supervise(run) == 1
    assert (run.facts["status"], run.facts["reason"]) == ("failed", "rank 1 on here: RuntimeError: planned")


def test_rank_that_is_killed_is_named(new_run: NewRun) -> None:
    run = new_run(steps=10_000, death={"rank": 1, "step": 2, "how": "kill"})
    assert _supervise(run) == 1
    assert run.facts["reason"] == "rank 1 was killed by SIGKILL, as when memory runs out"


def test_rank_that_leaves_no_word_is_named(new_run: NewRun) -> None:
    run = new_run(steps=100, death={"rank": 0, "step": 0, "how": "silent"})
    assert _supervise(run) == 1
    assert run.facts["reason"] == "rank 0 ended with exit code 1 and left no reason"


def test_failure_is_tried_again_as_often_as_the_profile_says(new_run: NewRun, starts: Starts) -> None:
    run = new_run(death={"rank": 0, "step": 1, "how": "raise"})
    assert _supervise(run, retries=2) == 1
    assert len(starts(run)) == 3


def test_failure_that_passes_is_forgotten(new_run: NewRun, starts: Starts) -> None:
    run = new_run(steps=100, death={"rank": 1, "step": 1, "how": "raise", "times": 1})
    assert _supervise(run, retries=1) == 0
    assert (run.facts["status"], run.facts["reason"]) == ("finished", None)
    assert len({one["GENEVER_ATTEMPT"] for one in starts(run)}) == 2


@pytest.mark.parametrize(("how", "code"), [("nan", 1), ("wrong", 2)])
def test_failure_that_would_come_again_is_not_tried_again(new_run: NewRun, starts: Starts, how: str, code: int) -> None:
    run = new_run(death={"rank": 0, "step": 1, "how": how})
    assert _supervise(run, retries=3) == code
    assert len(starts(run)) == 1


@pytest.mark.parametrize(
    ("number", "code", "status"),
    [
        (signal.SIGUSR2, 75, "preempted"),
        (signal.SIGTERM, 76, "stopped"),
        (signal.SIGINT, 76, "stopped"),
        (signal.SIGHUP, 76, "stopped"),
    ],
)
def test_signal_to_the_job_reaches_every_rank(
    new_run: NewRun, send_once_running: Callable[[RunDirectory, int], None], number: int, code: int, status: str
) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Under nohup, nothing here would hear of a hang-up.
    run = new_run(steps=10_000)
    send_once_running(run, number)
    assert _supervise(run) == code
    assert (run.facts["status"], len(run.saved_steps())) == (status, 1)


def test_run_that_is_always_asked_to_leave_before_it_saved_anything_is_given_up(new_run: NewRun) -> None:
    run = new_run(steps=0)
    job = RunJob(run.path)
    for number in range(5):
        job.started(attempt=str(number), saved_before=-1)
        job.ended(code=75, saved=-1)
    run.update_facts(status="preempted")
    (run.path / "plan.json").write_text('{"death": {"rank": 0, "step": 0, "how": "leave"}}')
    assert _supervise(run, processes=1) == 1
    assert run.facts["reason"] == "it was asked to leave 6 times before it had saved anything new"


def test_disk_that_is_full_does_not_end_the_ranks(new_run: NewRun, monkeypatch: pytest.MonkeyPatch, starts: Starts) -> None:
    def full(*words: object, **facts: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = new_run()
    monkeypatch.setattr("genever.launch._folder.write_whole", full)
    monkeypatch.setattr(RunDirectory, "update_facts", full)
    assert _supervise(run) == 0
    assert len(starts(run)) == 1


def test_runs_of_a_job_are_trained_at_once_and_apart(new_run: NewRun, starts: Starts) -> None:
    good, bad, done = new_run(), new_run(death={"rank": 0, "step": 0, "how": "raise"}), new_run()
    done.update_facts(status="finished")
    assert _supervise(good, bad, done, processes=1) == 1
    assert [run.facts["status"] for run in (good, bad, done)] == ["finished", "failed", "finished"]
    assert starts(done) == []


def test_run_that_was_given_up_is_not_started_by_the_jobs_next_start(new_run: NewRun, starts: Starts) -> None:
    run = new_run(death={"rank": 0, "step": 0, "how": "nan"})
    assert [_supervise(run), _supervise(run)] == [1, 1]
    assert len(starts(run)) == 1


def test_run_that_was_submitted_anew_is_not_started_by_the_job_before(root: Path, new_run: NewRun, starts: Starts) -> None:
    mine, elsewhere, here = new_run(), new_run(), new_run()
    job = Job(name="j", runs=(mine.path, elsewhere.path, here.path))
    folder = JobFolder.create(root, [job], Profile(), None)
    JobFolder.create(root, [Job(name="j", runs=(elsewhere.path,))], Profile(), None)
    RunJob(here.path).taken_here()
    assert supervise(folder.runs(0), spawn_here(Profile()), token="t", has=folder.has) == 76
    assert [len(starts(run)) for run in (mine, elsewhere, here)] == [1, 0, 0]
