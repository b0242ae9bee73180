"""A job that the cluster goes on with elsewhere, and the process of it that lives on, do not train a run both."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from genever.launch import Profile
from genever.launch._folder import RunJob
from genever.launch._ranks import spawn_here
from genever.launch._supervisor import supervise
from genever.runs import RunDirectory

NewRun = Callable[..., RunDirectory]
Starts = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.usefixtures("fake_ranks")


def _supervise(run: RunDirectory, has_place: Callable[[], bool | None]) -> int:
    return supervise([run], spawn_here(Profile()), token="t", retries=1, has_place=has_place)


def test_run_whose_job_lost_its_place_is_left_as_it_is(new_run: NewRun, starts: Starts) -> None:
    run = new_run(death={"rank": 0, "step": 1, "how": "raise"})
    assert _supervise(run, lambda: False) == 76
    assert len(starts(run)) == 1
    assert "code" not in RunJob(run.path).attempts[0]
    assert run.facts["status"] == "running"


def test_run_waits_to_be_started_again_until_the_cluster_answers(new_run: NewRun, starts: Starts) -> None:
    run, answers = new_run(steps=20, death={"rank": 0, "step": 1, "how": "raise", "times": 1}), iter([None, None, True])
    assert _supervise(run, lambda: next(answers)) == 0
    assert list(answers) == []
    assert len(starts(run)) == 2


@pytest.mark.parametrize("how", ["raise", "finish"])
def test_run_that_another_start_took_over_is_its_own(new_run: NewRun, until: Callable[..., Any], how: str) -> None:
    run = new_run(steps=50, death={"rank": 0, "step": 40, "how": how} if how == "raise" else {})

    def take_over() -> None:
        until(lambda: run.facts["status"] == "running")
        RunJob(run.path).started(attempt="other", started=0.0, saved_before=-1)

    thread = threading.Thread(target=take_over)
    thread.start()
    assert _supervise(run, lambda: True) == 76
    thread.join()
    first, second = RunJob(run.path).attempts
    assert "code" not in first
    assert second == {"attempt": "other", "started": 0.0, "saved_before": -1}
