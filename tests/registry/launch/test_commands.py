"""run, resume, status and cancel, as they are typed; the ranks are stand-ins."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from genever.command import main
from genever.launch import RunJob, cancel_runs, look
from genever.runs import RunDirectory, list_runs

EXPERIMENT = str(Path(__file__).parents[3] / "experiments/digits/pretrain.gin")
Until = Callable[..., Any]


@pytest.fixture
def genever(
    root: Path, snapshot: Path, until: Until, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """One command: its exit code, what it printed, and what it said on standard error. In the end nothing runs."""
    monkeypatch.setattr("genever.launch.freeze_code", lambda root, catalog: snapshot)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "config"))

    def call(*words: str) -> tuple[int, str, str]:
        code = main([*words, *([] if words[0] == "resume" else ["--root", str(root)])])
        told = capsys.readouterr()
        return code, told.out, told.err

    yield call
    runs = list_runs(root)
    cancel_runs([run for run, found in zip(runs, look(runs), strict=True) if found.is_live])
    until(lambda: not any(found.is_live for found in look(list_runs(root))))


Genever = Callable[..., tuple[int, str, str]]


def _plan(run: Path | str, **plan: Any) -> RunDirectory:
    (Path(run) / "plan.json").write_text(json.dumps(plan))
    return RunDirectory(Path(run))


def _submitted(genever: Genever, **plan: Any) -> RunDirectory:
    """A run that is queued; what its ranks will do is said before they start."""
    code, out, _ = genever("run", EXPERIMENT, "--on", "local", "--set", "setup=[sleep 1]")
    assert code == 0
    return _plan(out.strip(), **plan)


def test_submission_prints_the_runs_directory_and_returns(genever: Genever, until: Until) -> None:
    code, out, err = genever("run", EXPERIMENT, "--on", "local", "--set", "setup=[sleep 1]")
    run = _plan(out.strip())
    assert (code, run.facts["status"], run.resolved.is_file()) == (0, "created", True)
    assert f"job 1_0 of local will train it; see: genever status {run.path}" in err
    until(lambda: run.facts["status"] == "finished")


def test_run_on_a_cluster_that_refuses_leaves_nothing(genever: Genever, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code, _, err = genever("run", EXPERIMENT, "--on", "local", "--set", "gpus_per_process=1")
    assert code == 2
    assert "--set: a job asks for 1 GPUs, and this machine has 0" in err
    assert list_runs(root) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--on", "lokal"], "there is no profile 'lokal'. Did you mean local?"),
        (["--on", "local", "--set", "nods=1"], "--set: there is no setting 'nods'. Did you mean nodes?"),
        (
            ["--on", "local", "--device", "cpu"],
            "--device says where to train here; with --on, say --set",
        ),
        (["--set", "limit=2"], "--set 'limit=2' changes a profile, and there is none."),
        (["--processes", "0"], "--processes is 0; at least one process trains."),
        (["--on", "local", "-b", "train.steps = 'x'"], "1 mistake; nothing was started."),
        (
            ["--on", "local", "-b", "train.tuner = @LoRA()", "-b", "LoRA.targets = ['qkw']"],
            "Name layers by how their names end. Nothing was submitted; --no-build leaves this to the job.",
        ),
        (
            ["--on", "local", "-b", "train.start = 'digits/unet'"],
            "There is no finished run of 'digits/unet' yet. Run it first: genever run",
        ),
    ],
)
def test_wrong_words_start_nothing(genever: Genever, root: Path, words: list[str], message: str) -> None:
    code, _, err = genever("run", EXPERIMENT, *words)
    assert (code, list_runs(root)) == (2, [])
    assert message in err


def test_status_tells_how_a_run_is(genever: Genever, until: Until) -> None:
    run = _submitted(genever, steps=10_000)
    until(lambda: run.facts["status"] == "running")
    [told] = json.loads(genever("status", "--json", str(run.path))[1])
    assert (told["run"], told["kind"], told["job"]) == (str(run.path), "running", "1_0")
    assert f"digits/pretrain/{run.path.name}  running" in genever("status", "digits/pretrain")[1]


def test_status_of_what_is_not_there_is_refused_with_the_nearest(genever: Genever) -> None:
    assert "There are no runs" in genever("status")[1]
    _submitted(genever)
    code, _, err = genever("status", "digits/pretrian")
    assert code == 2
    assert "none of that name" in err
    assert "Did you mean digits/pretrain?" in err


def test_cancelled_run_stops_and_says_so(genever: Genever, until: Until) -> None:
    run = _submitted(genever, steps=10_000)
    until(lambda: run.facts["status"] == "running")
    code, _, err = genever("cancel", str(run.path))
    assert (code, "job 1_0 is cancelled" in err) == (0, True)
    until(lambda: look([run])[0].kind == "cancelled")
    assert run.saved_steps() != []
    assert "There is nothing to cancel" in genever("cancel", str(run.path))[2]


def test_cancelled_run_goes_on_when_it_is_resumed(genever: Genever, until: Until) -> None:
    run = _submitted(genever)
    genever("cancel", str(run.path))
    until(lambda: look([run])[0].kind == "cancelled")
    code, out, _ = genever("resume", str(run.path), "--on", "local")
    assert (code, out.strip()) == (0, str(run.path))
    until(lambda: run.facts["status"] == "finished")


def test_cancelled_run_goes_on_here(genever: Genever, until: Until, snapshot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _submitted(genever)
    genever("cancel", str(run.path))
    until(lambda: look([run])[0].kind == "cancelled")
    monkeypatch.setenv("PYTHONPATH", str(snapshot))
    assert genever("resume", str(run.path), "--processes", "2")[0] == 0
    assert (look([run])[0].kind, look([run])[0].job) == ("finished", None)


def test_run_that_a_job_has_is_not_resumed(genever: Genever) -> None:
    run = _submitted(genever)
    code, _, err = genever("resume", str(run.path))
    assert code == 2
    assert "job 1_0 has it. Wait for it, or stop it first: genever cancel" in err


@pytest.mark.parametrize("words", [["--on", "local"], ["--processes", "2"]])
def test_run_that_is_trained_in_a_terminal_is_not_taken_from_it(genever: Genever, root: Path, words: list[str]) -> None:
    run = RunDirectory.create(root, "digits/pretrain", "0123456789", {"experiment": "digits/pretrain"})
    run.resolved.touch()
    run.update_facts(status="running")
    code, _, err = genever("resume", str(run.path), *words)
    assert (code, run.facts["status"]) == (2, "running")
    run.update_facts(status="stopped")
    assert f"{run.path} is running: it is trained in somebody's terminal. Stop it there, with Ctrl-C." in err
    assert "wait until genever status says that the run is lost, or go on with one process, here." in err


def _run_here(root: Path, snapshot: Path, **plan: Any) -> subprocess.Popen[str]:
    """`genever run --processes 2` in a process of its own, as in a terminal."""
    script = "import sys; from genever.command import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "run", EXPERIMENT, "--root", str(root), "--processes", "2"]
    env = {**os.environ, "PYTHONPATH": str(snapshot), "FAKE_PLAN": json.dumps(plan)}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_run_of_several_processes_is_trained_here(root: Path, snapshot: Path) -> None:
    with _run_here(root, snapshot) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    run = RunDirectory(Path(out.strip()))
    assert (run.facts["status"], len(list(run.path.glob("env.*")))) == ("finished", 2)


def test_run_of_several_processes_stops_when_it_is_interrupted(root: Path, snapshot: Path, until: Until) -> None:
    with _run_here(root, snapshot, steps=10_000) as process:
        [run] = until(lambda: [run for run in list_runs(root) if run.facts["status"] == "running"])
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert (process.returncode, out.strip(), look([run])[0].kind) == (1, str(run.path), "stopped")
    assert [attempt["code"] for attempt in RunJob(run.path).attempts] == [76]


@pytest.mark.parametrize("verb", ["status", "cancel"])
def test_looking_at_runs_imports_nothing_slow(root: Path, verb: str) -> None:
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/b/c/run.json").write_text('{"status": "finished"}')
    (root / "a/b/c/resolved.gin").touch()
    script = f"import sys; from genever.command import main; main(['{verb}', 'a/b', '--root', {str(root)!r}])"
    check = "; print(*sorted({'torch', 'submitit', 'omegaconf', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script + check], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""
