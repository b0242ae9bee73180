"""Runs that are trained by a stand-in for a rank, which does what it is told and needs no torch."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import genever
import pytest
from genever.runs import RunDirectory

NewRun = Callable[..., RunDirectory]
Starts = Callable[..., list[dict[str, Any]]]
Until = Callable[..., Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot of this very code, but for the ranks."""
    package = tmp_path / "code/genever"
    package.mkdir(parents=True)
    for file in Path(genever.__file__).parent.iterdir():
        if file.name != "execution":
            (package / file.name).symlink_to(file)
    (package / "execution").mkdir()
    (package / "execution/__init__.py").touch()
    (package / "execution/__main__.py").symlink_to(Path(__file__).with_name("fake_rank.py"))
    return package.parent


@pytest.fixture
def fake_ranks(snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks that this process starts are stand-ins."""
    monkeypatch.setenv("PYTHONPATH", str(snapshot))


@pytest.fixture
def new_run(root: Path) -> NewRun:
    def create(**plan: Any) -> RunDirectory:
        run = RunDirectory.create(root, "digits/fake", "0123456789", {"experiment": "digits/fake"})
        run.resolved.touch()
        (run.path / "plan.json").write_text(json.dumps(plan))
        return run

    return create


@pytest.fixture
def starts() -> Starts:
    """The variables that a rank saw, start by start."""

    def read(run: RunDirectory, rank: int = 0) -> list[dict[str, Any]]:
        file = run.path / f"env.{rank}.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


@pytest.fixture
def until() -> Until:
    """Waits for something to be so, and gives it."""

    def wait(what: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.05)
        return found

    return wait
