"""What is submitted, what is not submitted again, and what a killed submitter leaves to the next one."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genever.command import main
from genever.errors import UserError
from genever.launch import RunJob
from genever.launch._condition import cancel_waiting
from genever.runs import RunDirectory
from genever.sweeps import conditions, open_sweep

Genever = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
RunsOf = Callable[..., list[RunDirectory]]
SEEDS = "experiment: ../digits/pretrain.gin\nvary: {seeds: 3}\n"
STAGES = (
    "stages:\n"
    "- {name: base, experiment: ../digits/pretrain.gin, vary: {seeds: 2}}\n"
    "- {name: later, experiment: ../digits/later.gin, vary: {grid: {AdamW.lr: [1e-3, 1e-4]}}}\n"
)


JUDGED = (
    "stages:\n"
    "- {name: base, experiment: ../digits/pretrain.gin}\n"
    "- {name: reward, experiment: ../digits/scores.gin, vary: {grid: {AdamW.lr: [1e-3, 1e-4]}}}\n"
    "- {name: judged, experiment: ../digits/judged.gin, after: {train.start: base, Learned.run: reward}}\n"
)


@pytest.fixture
def sweep(genever: Genever, sweep_file: Write, cluster: Any) -> Callable[..., str]:
    """`genever sweep` on a file of this text; what it said."""

    def submit(text: str = SEEDS, *options: str, name: str = "a") -> str:
        code, out, err = genever("sweep", sweep_file(text, name), *options)
        assert code == 0, err
        assert out == f"{Path('runs/sweeps', name).absolute()}\n"
        return err

    return submit


Sweep = Callable[..., str]


def kinds(name: str = "a") -> list[str]:
    return [one.kind for one in conditions(open_sweep(name))]


def test_sweep_submits_every_run_and_names_its_folder(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    assert sweep() == "a: 3 runs submitted; 3 queued of 3\n"
    assert [job.runs for job in cluster.jobs.values()] == [(run.path,) for run in runs_of()]
    assert {run.facts["sweep"] for run in runs_of()} == {"a"}
    assert open_sweep("a").file.read_text() == SEEDS


def test_runs_remember_the_commit_of_their_experiment(sweep: Sweep, folder: Path, runs_of: RunsOf) -> None:
    for words in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", "-C", folder / "experiments/digits", *words], check=True)
    sweep()
    assert {len(run.facts["git"]["commit"]) for run in runs_of()} == {40}


def test_sweep_that_is_submitted_again_submits_nothing(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep()
    cluster.end(runs_of()[0])
    before = [run.path for run in runs_of()]
    assert sweep() == "a: 0 runs submitted; 1 finished, 2 queued of 3\n"
    assert ([run.path for run in runs_of()], len(cluster.jobs)) == (before, 3)


def test_sweep_that_has_grown_submits_what_is_new(sweep: Sweep, cluster: Any) -> None:
    sweep()
    assert sweep(SEEDS.replace("3", "5")) == "a: 2 runs submitted; 5 queued of 5\n"
    assert len(cluster.jobs) == 5


def test_sweep_that_has_shrunk_says_what_goes_on(sweep: Sweep, runs_of: RunsOf) -> None:
    sweep()
    last = runs_of()[-1].path
    assert sweep(SEEDS.replace("3", "2")).split("\n")[1] == (
        f"{last} is queued, but the file asks for it no more. To stop it: genever cancel {last}"
    )
    assert sweep() == "a: 0 runs submitted; 3 queued of 3\n"
    assert open_sweep("a").manifest.dropped == ()


def test_sweeps_share_the_runs_that_both_ask_for(sweep: Sweep, runs_of: RunsOf) -> None:
    sweep()
    assert sweep(SEEDS.replace("3", "[2, 3]"), name="b") == "b: 1 run submitted; 2 queued of 2\n"
    assert runs_of("b")[0].path == runs_of("a")[2].path


def test_variants_that_compose_the_same_share_a_run(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    text = "vary: {grid: {train.sampler: ['@Uniform()', '@LogitNormal()'], LogitNormal.std: [0.5, 1.0]}}\n"
    assert sweep("experiment: ../digits/pretrain.gin\n" + text) == "a: 3 runs submitted; 4 queued of 4\n"
    assert runs_of()[0].path == runs_of()[1].path
    assert len(cluster.jobs) == 3


def test_failed_run_is_not_submitted_again_but_retried(
    sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf
) -> None:
    sweep()
    cluster.end(runs_of()[1], "failed", reason="ValueError: no")
    cluster.end(runs_of()[0])
    assert sweep() == (
        "a: 0 runs submitted; 1 finished, 1 queued, 1 failed of 3\n"
        "What failed is not submitted again, unless you say so: genever retry a\n"
    )
    assert genever("retry", "a")[2] == "a: 1 run submitted; 1 finished, 2 queued of 3\n"
    assert cluster.jobs["4_0"].runs == (runs_of()[1].path,)


@pytest.mark.parametrize("status", ["stopped", "lost"])
def test_run_that_was_stopped_or_lost_goes_on(status: str, sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep()
    cluster.end(runs_of()[1], "running" if status == "lost" else status)
    runs_of()[1].update_facts(created=0.0)
    assert kinds() == ["queued", status, "queued"]
    assert sweep() == "a: 1 run submitted; 3 queued of 3\n"


def test_cancelled_sweep_goes_on_when_it_is_submitted_again(sweep: Sweep, genever: Genever) -> None:
    sweep()
    assert genever("cancel", "a")[0] == 0
    assert kinds() == ["cancelled"] * 3
    assert genever("retry", "a")[2].startswith("a: 0 runs submitted")
    assert sweep() == "a: 3 runs submitted; 3 queued of 3\n"


def test_sweep_that_is_cancelled_while_it_is_submitted_is_cancelled_whole(
    sweep: Sweep, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Thread(target=main, args=(["cancel", "a"],))

    def submit(jobs: Any) -> Any:
        for one in submitted(jobs):
            yield one
            if len(cluster.jobs) == 1:
                cancel.start()
                cancel.join(0.5)

    submitted = cluster.submit
    monkeypatch.setattr(cluster, "submit", submit)
    sweep()
    cancel.join()
    assert kinds() == ["cancelled"] * 3


def test_retry_goes_on_with_what_a_failure_stopped_and_not_with_what_somebody_cancelled(
    sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf
) -> None:
    sweep(SEEDS.replace("3", "4") + "on_failure: stop\n")
    genever("cancel", runs_of()[3].path)
    cluster.end(runs_of()[0], "failed", reason="ValueError: no")
    cancel_waiting(runs_of(), reason="job 1_0 failed, and the sweep stops then")
    found = conditions(open_sweep("a"))
    assert [one.reason for one in found] == ["ValueError: no", *["job 1_0 failed, and the sweep stops then"] * 2, ""]
    assert genever("retry", "a")[2] == "a: 3 runs submitted; 3 queued, 1 cancelled of 4\n"


def test_later_stage_waits_for_the_very_runs_it_starts_from(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    assert sweep(STAGES) == "a: 6 runs submitted; 6 queued of 6\n"
    later = {number: ("1_0",) if number in ("3_0", "4_0") else ("2_0",) for number in ("3_0", "4_0", "5_0", "6_0")}
    assert cluster.waits_for == {"1_0": (), "2_0": (), **later}
    starts = [Path(run.facts["start"]["run"]) for run in runs_of()[2:]]
    assert starts == [run.path.resolve() for run in (runs_of()[0], runs_of()[0], runs_of()[1], runs_of()[1])]


def test_later_stage_does_not_wait_for_what_is_finished(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(STAGES)
    for run in runs_of()[:2]:
        cluster.end(run)
    cluster.end(runs_of()[2], "stopped")
    assert sweep(STAGES) == "a: 1 run submitted; 2 finished, 4 queued of 6\n"
    assert cluster.waits_for["7_0"] == ()


def test_stage_whose_start_failed_is_cancelled_and_says_so(
    sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf
) -> None:
    sweep(STAGES)
    cluster.end(runs_of()[1], "failed", reason="ValueError: no")
    found = conditions(open_sweep("a"))
    assert [(one.kind, one.reason) for one in found[4:]] == [("cancelled", "its train.start, 1, failed")] * 2
    assert sweep(STAGES).split("\n")[1:3] == [f"  {number} is left out: its train.start, 1, failed" for number in (4, 5)]
    assert genever("retry", "a")[2] == "a: 3 runs submitted; 6 queued of 6\n"
    assert [cluster.waits_for[job] for job in ("7_0", "8_0", "9_0")] == [(), ("7_0",), ("7_0",)]


@pytest.mark.parametrize(("before", "now"), [("slurm", "local"), ("local", "slurm")])
def test_stage_waits_for_no_job_of_another_cluster(
    before: str, now: str, sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf
) -> None:
    sweep(STAGES, "--on", before)
    base, later = runs_of()[1].path, runs_of()[4].path
    cluster.end(runs_of()[0])
    genever("cancel", *(run.path for run in runs_of()[2:]))
    code, _, err = genever("sweep", "experiments/sweeps/a.yaml", "--on", now)
    what = f"{later} is to run on {now}, but {base}, which it waits for, is in hand on {before} as job 2_0."
    to_do = f"Wait until that has finished, name its cluster with --on {before}, or cancel it: genever cancel {base}"
    assert (code, err) == (2, f"genever sweep: {what} {to_do}\n")
    cluster.end(runs_of()[1])
    assert sweep(STAGES, "--on", now) == "a: 4 runs submitted; 2 finished, 4 queued of 6\n"


def test_limit_counts_all_that_a_cluster_has_of_a_sweep(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(STAGES + "limit: 2\n")
    assert [job.beside for job in cluster.jobs.values()] == [()] * 2 + [("1_0", "2_0")] * 4
    cluster.end(runs_of()[0])
    cluster.end(runs_of()[2], "stopped")
    sweep(STAGES + "limit: 2\n")
    assert {*cluster.jobs["7_0"].beside} == {"2_0", "4_0", "5_0", "6_0"}


def test_limit_counts_no_job_of_another_cluster(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(SEEDS)
    cluster.end(runs_of()[0], "stopped")
    sweep(SEEDS, "--on", "slurm", "--limit", "2")
    assert cluster.jobs["4_0"].beside == ()


def test_stage_after_several_waits_for_and_names_the_runs_of_all(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(JUDGED)
    assert [cluster.waits_for[job] for job in ("4_0", "5_0")] == [("1_0", "2_0"), ("1_0", "3_0")]
    base, *rewards = [run.path.resolve() for run in runs_of()[:3]]
    for run, reward in zip(runs_of()[3:], rewards, strict=True):
        needed = [run.facts["start"], run.facts["reads"]["reward.Learned.run"]]
        assert [(Path(one["run"]), one["awaited"]) for one in needed] == [(base, True), (reward, True)]
        assert f"reward.Learned.run = 'digits/scores/{reward.name}'" in run.resolved.read_text()


def test_stage_of_which_one_parent_failed_is_cancelled_and_says_so(
    sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf
) -> None:
    sweep(JUDGED)
    cluster.end(runs_of()[0])
    cluster.end(runs_of()[2], "failed", reason="ValueError: no")
    found = conditions(open_sweep("a"))
    assert [one.kind for one in found] == ["finished", "queued", "failed", "queued", "cancelled"]
    assert found[4].reason == "its Learned.run, 2, failed"
    assert sweep(JUDGED).split("\n")[1] == "  4 is left out: its Learned.run, 2, failed"
    assert genever("retry", "a")[2] == "a: 2 runs submitted; 1 finished, 4 queued of 5\n"
    assert [cluster.waits_for[job] for job in ("6_0", "7_0")] == [(), ("6_0",)]


def test_element_knows_all_that_it_descends_from(sweep: Sweep, cluster: Any) -> None:
    sweep(JUDGED.replace("pretrain.gin}", "pretrain.gin, vary: {seeds: 2}}"))
    found = open_sweep("a")
    assert [one.number for one in found.lineage(found.elements[7])] == [0, 3, 7]
    assert found.varied(found.elements[7]) == {"base:train.seed": "0", "reward:AdamW.lr": "0.0001"}


def test_manifest_of_one_parent_each_is_still_read(sweep: Sweep, cluster: Any) -> None:
    sweep(STAGES)
    told = json.loads(open_sweep("a").manifest_file.read_text())
    old = [{**one, "start": one["parents"].get("train.start")} for one in told["elements"]]
    elements = [{key: value for key, value in one.items() if key != "parents"} for one in old]
    stages = [{**one, "after": None} for one in told["stages"]]
    now = open_sweep("a").elements
    open_sweep("a").manifest_file.write_text(json.dumps({**told, "format": 1, "stages": stages, "elements": elements}))
    assert open_sweep("a").elements == now
    assert sweep(STAGES).startswith("a: 0 runs submitted")


def test_runs_share_jobs_where_the_file_says_so(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(SEEDS + "runs_per_job: 2\n")
    runs = [run.path for run in runs_of()]
    assert [job.runs for job in cluster.jobs.values()] == [(runs[0], runs[1]), (runs[2],)]


def test_jobs_name_the_rest_of_a_sweep_that_is_to_stop(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep(SEEDS + "on_failure: stop\n")
    (rest,) = {job.rest for job in cluster.jobs.values()}
    assert rest.read_text().splitlines() == [str(run.path) for run in runs_of()]


def test_profile_is_the_files_unless_the_command_line_says_otherwise(sweep: Sweep, cluster: Any) -> None:
    sweep(SEEDS + "limit: 4\nresources: {minutes: 20, cpus_per_process: 2}\n", "--limit", "7", "--set", "minutes=30")
    profile = cluster.profiles[-1]
    used = open_sweep("a").manifest.stages[0].profile
    assert (used["limit"], used["minutes"], used["cpus_per_process"]) == (7, 30, 2)
    assert profile.kind == "local"


def test_retry_changes_what_is_asked_for(sweep: Sweep, genever: Genever, cluster: Any, runs_of: RunsOf) -> None:
    sweep(SEEDS + "resources: {minutes: 20, cpus_per_process: 2}\n")
    cluster.end(runs_of()[0], "failed")
    assert genever("retry", "a", "--set", "memory_gb=8")[0] == 0
    used = open_sweep("a").manifest.stages[0].profile
    assert (used["minutes"], used["cpus_per_process"], used["memory_gb"]) == (20, 2, 8.0)


@pytest.mark.parametrize("most", range(7))
def test_submitter_that_is_killed_loses_nothing_and_doubles_nothing(
    most: int, genever: Genever, sweep: Sweep, sweep_file: Write, cluster: Any, runs_of: RunsOf
) -> None:
    cluster.most = most
    genever("sweep", sweep_file(STAGES))
    cluster.most = 100
    sweep(STAGES)
    submitted = [run for job in cluster.jobs.values() for run in job.runs]
    assert sorted(submitted) == sorted({run.path for run in runs_of()})
    assert len(list(Path("runs/digits").glob("*/*/resolved.gin"))) == len(submitted) == 6
    assert kinds() == ["queued"] * 6


@pytest.mark.parametrize("after", range(4))
def test_submitter_that_is_killed_while_it_makes_runs_is_continued(
    after: int, genever: Genever, sweep: Sweep, sweep_file: Write, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genever.sweeps import _make

    made, create = [], _make.create_run

    def killed(*arguments: Any, **options: Any) -> RunDirectory:
        if len(made) == after:
            raise KeyboardInterrupt
        made.append(create(*arguments, **options))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(_make, "create_run", killed)
        genever("sweep", sweep_file(STAGES))
    sweep(STAGES)
    assert len(list(Path("runs/digits").glob("*/*/resolved.gin"))) == len(cluster.jobs) == 6


def test_run_that_is_not_made_yet_is_not_there(
    genever: Genever, sweep: Sweep, sweep_file: Write, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(run: RunDirectory, facts: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "write_facts", killed)
        genever("sweep", sweep_file(SEEDS))
    assert not Path("runs/digits").exists()
    assert sweep() == "a: 3 runs submitted; 3 queued of 3\n"


def test_run_that_is_half_made_is_left_alone(sweep: Sweep, cluster: Any, runs_of: RunsOf) -> None:
    sweep()
    runs_of()[1].resolved.unlink()
    open_sweep("a").write(open_sweep("a").manifest)
    assert sweep() == "a: 1 run submitted; 3 queued of 3\n"


def test_run_that_somebody_else_has_just_made_is_his(sweep: Sweep, runs_of: RunsOf, genever: Genever) -> None:
    sweep()
    facts = runs_of()[1].facts
    (runs_of()[1].path / "job.json").unlink()
    runs_of()[1].write_facts({key: value for key, value in facts.items() if key != "sweep"})
    assert sweep().startswith("a: 0 runs submitted")
    runs_of()[1].update_facts(created=0.0)
    assert sweep().startswith("a: 1 run submitted")


def test_refusal_of_the_cluster_is_passed_on(
    genever: Genever, sweep_file: Write, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise UserError("SLURM refuses the job: Invalid account. Look at slurm.account = 'x' (a.yaml:3).")

    monkeypatch.setattr(cluster, "submit", refuse)
    code, _, err = genever("sweep", sweep_file(SEEDS))
    assert (code, err) == (
        2,
        "genever sweep: SLURM refuses the job: Invalid account. Look at slurm.account = 'x' (a.yaml:3).\n",
    )


def test_wrong_sweep_leaves_nothing_behind(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    assert genever("sweep", sweep_file(SEEDS + "fixed: {DiT.widht: 3}\n"))[0] == 2
    assert not cluster.jobs
    assert not list(Path("runs").rglob("*.json"))


def test_element_that_was_submitted_names_its_job(sweep: Sweep, runs_of: RunsOf) -> None:
    sweep()
    assert [one.job for one in conditions(open_sweep("a"))] == ["1_0", "2_0", "3_0"]
    assert RunJob(runs_of()[0].path).folder is not None
