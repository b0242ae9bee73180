"""What is really going on with a run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genever.launch import Condition, Job, JobState, Profile, condition
from genever.launch._folder import JobFolder, RunJob
from genever.runs import RunDirectory

NOW = 10_000.0
QUEUED, RUNNING, SILENT = JobState("queued", "Priority"), JobState("running"), JobState("unknown", "no controller")
NewRun = Callable[..., RunDirectory]


@pytest.fixture
def seen(new_run: NewRun, root: Path) -> Callable[..., Condition]:
    """The condition of a run whose files say this."""

    def see(
        status: str,
        state: JobState | None,
        *,
        job: bool = True,
        attempts: int = 1,
        beat: float | None = None,
        gave_up: bool = False,
        after: tuple[str, ...] = (),
        log: str | None = None,
        cancelled: bool = False,
        **facts: Any,
    ) -> Condition:
        run = new_run()
        run.update_facts(status=status, created=0.0, started=NOW - 100, **facts)
        if job:
            folder = JobFolder.create(root, [Job(name="j", runs=(run.path,), after=after)], Profile(), None)
            folder.note_id("12")
            if log is not None:
                (folder.path / "12_0_0_log.out").write_text(log)
        for number in range(attempts):
            RunJob(run.path).started(attempt=str(number), started=NOW - 1000, saved_before=0)
            RunJob(run.path).ended(gave_up=gave_up)
        if beat is not None:
            run.heartbeat.write_text(json.dumps({"time": NOW - beat, "first": 0, "step": 50, "total": 200}))
        if cancelled:
            RunJob(run.path).cancelled.touch()
        return condition(run, state, NOW)

    return see


See = Callable[..., Condition]


def _said(found: Condition) -> tuple[str, str]:
    return found.kind, found.reason


def test_run_that_waits_says_why(seen: See) -> None:
    assert _said(seen("created", QUEUED, attempts=0)) == ("queued", "Priority")
    assert _said(seen("preempted", QUEUED)) == ("queued again", "Priority")
    assert _said(seen("preempted", RUNNING)) == ("queued again", "")
    assert seen("created", QUEUED, attempts=0).job == "12_0"


def test_run_that_is_trained_says_how_far_it_is(seen: See) -> None:
    found = seen("running", RUNNING, beat=0)
    assert (found.kind, found.step, found.total, found.seconds_left) == ("running", 50, 200, 300)
    assert seen("running", None, job=False, attempts=0, beat=100).kind == "running"
    assert seen("starting", RUNNING).kind == seen("created", RUNNING, attempts=0).kind == "starting"


def test_run_that_is_trained_and_silent_is_told(seen: See) -> None:
    assert _said(seen("running", RUNNING, beat=600)) == ("running", "no heartbeat for 10 min")


def test_finished_run_is_finished_whatever_the_cluster_says(seen: See) -> None:
    assert [seen("finished", state).kind for state in (None, RUNNING, SILENT)] == ["finished"] * 3


def test_run_that_was_given_up_has_failed_while_its_job_goes_on(seen: See) -> None:
    assert _said(seen("failed", RUNNING, gave_up=True, reason="loss")) == ("failed", "loss")
    assert seen("failed", RUNNING, reason="loss").kind == "starting"
    assert _said(seen("failed", None, reason="loss")) == ("failed", "loss")


def test_run_that_was_stopped_or_cancelled_says_so(seen: See) -> None:
    assert seen("stopped", None).kind == "stopped"
    assert seen("preempted", None, job=False, attempts=0).kind == "stopped"
    assert seen("created", None, attempts=0, cancelled=True).kind == "cancelled"
    assert seen("stopped", None, cancelled=True).kind == "cancelled"


def test_cancelled_run_that_was_killed_before_it_saved_is_cancelled(seen: See) -> None:
    assert seen("running", None, beat=30, cancelled=True).kind == "running"
    assert _said(seen("running", None, beat=300, cancelled=True)) == ("cancelled", "")


def test_shared_job_that_waits_says_of_each_run_how_that_one_is(seen: See) -> None:
    assert _said(seen("failed", QUEUED, gave_up=True, reason="loss")) == ("failed", "loss")
    assert [_said(seen(status, QUEUED, cancelled=True)) for status in ("stopped", "running")] == [("cancelled", "")] * 2
    assert _said(seen("created", QUEUED, attempts=0, cancelled=True)) == ("cancelled", "")
    assert _said(seen("created", RUNNING, attempts=0, cancelled=True)) == ("cancelled", "")
    assert [seen(status, RUNNING, cancelled=True).kind for status in ("starting", "running")] == ["starting", "running"]


def test_run_that_the_cluster_forgot_is_lost(seen: See) -> None:
    reason = "the cluster does not know job 12_0 any more, and there was no heartbeat for 5 min"
    assert _said(seen("running", None, beat=300)) == ("lost", reason)
    assert seen("preempted", None, beat=300).kind == "lost"
    assert _said(seen("created", None, attempts=0)) == ("lost", "the cluster does not know job 12_0, and it never began")


def test_run_whose_process_is_gone_is_lost(seen: See) -> None:
    assert _said(seen("running", None, job=False, attempts=0, beat=300)) == (
        "lost",
        "no heartbeat for 5 min: its process is gone",
    )


def test_job_that_failed_at_its_start_is_told_with_the_end_of_its_log(seen: See) -> None:
    found = seen("created", None, attempts=0, log="one\ntwo\n\nthree\nbash: nothing: command not found\n")
    assert found.kind == "failed"
    assert found.reason.startswith("job 12_0 ended before the run began; ")
    assert found.reason.endswith("12_0_0_log.out ends: two / three / bash: nothing: command not found")


@pytest.mark.parametrize("before", ["failed", "stopped", "preempted", "running"])
def test_run_that_was_submitted_anew_is_how_this_submission_is(seen: See, before: str) -> None:
    def see(state: JobState | None, **options: Any) -> tuple[str, str]:
        return _said(seen(before, state, attempts=0, beat=200, reason="loss", **options))

    assert see(QUEUED) == ("queued", "Priority")
    assert see(SILENT) == ("queued", "no controller")
    assert see(RUNNING) == ("starting", "")
    assert see(None, cancelled=True) == ("cancelled", "")
    kind, reason = see(None, log="bash: no such thing\n")
    assert kind == "failed"
    assert reason.startswith("job 12_0 ended before the run began; ")
    assert reason.endswith("ends: bash: no such thing")


def test_run_whose_start_failed_is_cancelled(seen: See) -> None:
    found = seen("created", None, attempts=0, after=("11_3",))
    assert _said(found) == ("cancelled", "job 11_3 did not succeed, and this one waits for it")
    found = seen("created", None, attempts=0, after=("11_3", "12_0"))
    assert _said(found) == ("cancelled", "one of the jobs 11_3, 12_0 did not succeed, and this one waits for it")


def test_cluster_that_does_not_answer_leaves_what_the_files_say(seen: See) -> None:
    assert _said(seen("running", SILENT, beat=5)) == ("running", "no controller")
    assert _said(seen("running", SILENT, beat=600)) == ("running", "no controller; no heartbeat for 10 min")
    assert seen("created", SILENT, attempts=0).kind == "queued"
    assert seen("preempted", SILENT).kind == "queued again"
    assert seen("failed", SILENT, reason="loss").kind == "failed"
