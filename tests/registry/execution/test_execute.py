"""What a start that cannot even begin is held for: the user's mistake, or bad luck that another start may not have."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from genever.errors import UserError
from genever.execution import FAILED, execute
from genever.parts import load_catalog
from genever.runs import RunDirectory


@pytest.fixture
def run(small: str, new_run: Callable[..., RunDirectory], tmp_path: Path) -> RunDirectory:
    return new_run(f"{small}train.steps = 1\n", tmp_path)


def start(run: RunDirectory) -> int:
    return execute(run, load_catalog(), device=torch.device("cpu"))


def failure(run: RunDirectory) -> tuple[str, bool]:
    """Why it failed, and whether that was the user's mistake."""
    told = run.failure
    assert told
    return told["reason"], told["wrong"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.ESTALE, "Stale file handle"), OSError("no connection")],
    ids=str,
)
def test_disk_or_network_that_fails_is_nobodys_mistake(
    error: OSError, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: RunDirectory, step: int) -> None:
        raise error

    monkeypatch.setattr(RunDirectory, "drop_metrics_after", failing)
    assert start(run) == FAILED
    assert failure(run) == (f"OSError: {error}", False)


@pytest.mark.parametrize("error", [FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, ValueError])
def test_path_that_is_wrong_is_the_users_mistake(
    error: type[Exception], run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*words: object, **named: object) -> None:
        raise error("Rewritings.file = 'a.jsonl'")

    monkeypatch.setattr("genever.execution._execute.compose", refusing)
    with pytest.raises(UserError, match=r"Rewritings\.file = 'a\.jsonl'"):
        start(run)
    assert failure(run) == ("Rewritings.file = 'a.jsonl'", True)


def test_failure_is_the_first_of_its_attempt(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for attempt, reason, told in [("1", "first", "first"), ("1", "second", "first"), ("2", "third", "third")]:
        run.note_failure(attempt=attempt, reason=reason)
        assert run.failure == {"attempt": attempt, "reason": told}
