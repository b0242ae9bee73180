"""`genever sweep --dry-run`, `status`, `retry` and `cancel` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genever.errors import UserError
from genever.runs import RunDirectory
from genever.sweeps import find_sweep, known_sweeps, open_sweep
from genever.training import Composition
from genever_plugins.tuner.lora import LoRA

Genever = Callable[..., tuple[int, str, str]]
Write = Callable[..., Path]
RunsOf = Callable[..., list[RunDirectory]]
GRID = "experiment: ../digits/pretrain.gin\nvary: {grid: {AdamW.lr: [1e-3, 3e-3]}, seeds: 2}\nlimit: 3\n"
STAGES = (
    "stages:\n"
    "- {name: base, experiment: ../digits/pretrain.gin, vary: {seeds: 2}}\n"
    "- {name: later, experiment: ../digits/later.gin, resources: {gpus_per_process: 1, minutes: 30}}\n"
)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_dry_run_shows_every_run_and_what_it_would_cost(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    code, out, err = genever("sweep", sweep_file(GRID), "--dry-run")
    assert (code, err) == (0, "")
    assert out == (
        "#  AdamW.lr  train.seed  is   run\n"
        "0  0.001     0           new\n"
        "1  0.001     1           new\n"
        "2  0.003     0           new\n"
        "3  0.003     1           new\n"
        "\n"
        "on local: 4 runs to do, each on 1 CPU for 60 min, 3 jobs at once; at most 4.0 CPU hours\n"
    )
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", [[], ["--dry-run", "--build"]])
def test_what_cannot_be_built_is_not_submitted(words: list[str], genever: Genever, sweep_file: Write, cluster: Any) -> None:
    text = GRID + "fixed: {train.tuner: '@LoRA()', LoRA.targets: [qkw]}\n"
    assert genever("sweep", sweep_file(text), "--dry-run")[0] == 0
    code, _, err = genever("sweep", sweep_file(text), *words)
    assert code == 2
    assert err.startswith("genever sweep: experiments/sweeps/a.yaml:4: 'qkw' in tuner.LoRA.targets matches no linear layer")
    assert err.endswith("Nothing was submitted; --no-build leaves this to the job.\n")
    assert not Path("runs/digits").exists()
    assert genever("sweep", sweep_file(text), "--no-build")[0] == 0
    assert genever("sweep", sweep_file(text))[0] == 0  # What is there was built, or was not to be.


@pytest.mark.parametrize(
    ("vary", "options", "said"),
    [
        ("{grid: {LoRA.targets: [[attn.qkv], [qkw]]}, seeds: 2}", [], "a.yaml:2: 'qkw' in tuner.LoRA.targets"),
        ("{seeds: 2}", ["--set", "processes=3"], "cannot be split among 3 processes"),
    ],
)
def test_each_value_that_varies_is_built_for_as_many_processes_as_will_train(
    vary: str, options: list[str], said: str, genever: Genever, sweep_file: Write, cluster: Any
) -> None:
    text = f"experiment: ../digits/pretrain.gin\nvary: {vary}\nfixed: {{train.tuner: '@LoRA()'}}\n"
    code, _, err = genever("sweep", sweep_file(text), *options)
    assert (code, said in err) == (2, True), err


def test_what_cannot_be_built_without_memory_is_said_and_submitted(
    genever: Genever, sweep_file: Write, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(self: LoRA, composition: Composition) -> None:
        float(next(composition.model.parameters()).sum())

    monkeypatch.setattr(LoRA, "tune", measure)
    code, _, err = genever("sweep", sweep_file(GRID + "fixed: {train.tuner: '@LoRA()'}\n"))
    assert code == 0
    assert err.startswith("digits/pretrain was not built before, which its parts do not bear: RuntimeError: ")


@pytest.mark.parametrize("made", ["not made", "made", "finished"])
def test_stage_is_built_before_the_runs_that_it_goes_on_from(
    made: str, genever: Genever, sweep_file: Write, cluster: Any, runs_of: RunsOf
) -> None:
    if made != "not made":
        genever("sweep", sweep_file(STAGES.partition("- {name: later")[0]))
    if made == "finished":
        cluster.end(runs_of()[0])
    text = STAGES.replace("digits/later.gin,", "digits/later.gin, fixed: {train.tuner: '@LoRA()', LoRA.targets: [qkw]},")
    code, _, err = genever("sweep", sweep_file(text))
    assert code == 2
    assert "a.yaml:3: 'qkw' in tuner.LoRA.targets matches no linear layer" in err


def test_dry_run_shows_what_is_done_and_how_long_that_took(
    genever: Genever, sweep_file: Write, cluster: Any, runs_of: RunsOf
) -> None:
    genever("sweep", sweep_file(GRID))
    cluster.end(runs_of()[0], started=1000.0, ended=1060.0)
    (runs_of()[2].path / "job.json").unlink()
    out = genever("sweep", sweep_file(GRID), "--dry-run")[1]
    done, _, new, _ = out.split("\n")[1:5]
    assert done == f"0  0.001     0           finished  digits/pretrain/{runs_of()[0].path.name}"
    assert new == f"2  0.003     0           created   digits/pretrain/{runs_of()[2].path.name}"
    assert out.endswith("1 run to do, each on 1 CPU for 60 min, 3 jobs at once; at most 1.0 CPU hours; "
                        "probably 1 min of training, as 1 finished run took\n")  # fmt: skip


def test_dry_run_shows_the_stages_of_a_lifecycle(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    out = genever("sweep", sweep_file(STAGES), "--dry-run")[1]
    assert out == (
        "#  stage  from  train.seed  is   run\n"
        "0  base         0           new\n"
        "1  base         1           new\n"
        "2  later  0                 new\n"
        "3  later  1                 new\n"
        "\n"
        "base on local: 2 runs to do, each on 1 CPU for 60 min; at most 2.0 CPU hours\n"
        "later on local: 2 runs to do, each on 1 GPU for 30 min; at most 1.0 GPU hours\n"
    )


def test_dry_run_names_all_parents(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    judged = "- {name: judged, experiment: ../digits/judged.gin, after: {train.start: base, Learned.run: later}}\n"
    out = genever("sweep", sweep_file(STAGES.replace("later.gin", "scores.gin") + judged), "--dry-run")[1]
    assert out.split("\n")[5:7] == ["4  judged  0, 2              new", "5  judged  1, 3              new"]


def test_dry_run_answers_in_json(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    answer = json.loads(genever("sweep", sweep_file(GRID), "--dry-run", "--json")[1])
    assert [run["bindings"] for run in answer["runs"]][1] == ["AdamW.lr = 0.001", "train.seed = 1"]
    assert {run["is"] for run in answer["runs"]} == {"new"}
    assert answer["cost"][""]["cpu_hours"] == 4.0
    assert answer["resources"][""]["limit"] == 3


def test_dry_run_of_a_search_shows_what_it_draws_from(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    text = "search: {metric: validation_loss, num: 9, over: {AdamW.lr: {log_uniform: [1e-4, 1e-2]}}}\n"
    out = genever("sweep", sweep_file("experiment: ../digits/pretrain.gin\n" + text), "--dry-run")[1]
    assert out == (
        "Searches 9 runs to minimize validation_loss, each proposed once another is over, over\n"
        "  AdamW.lr: log_uniform from 0.0001 to 0.01\n"
        "\n"
        "on local: 9 runs to do, each on 1 CPU for 60 min; at most 9.0 CPU hours\n"
    )


def test_search_goes_towards_what_its_metric_says_is_better(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    fixed = "fixed: {train.metrics: ['@metric.Reward()'], metric.Reward.reward: '@reward.Ink()'}\n"
    text = f"experiment: ../digits/pretrain.gin\n{fixed}"
    search = "search: {{metric: {metric}, num: 9, over: {{AdamW.lr: {{log_uniform: [1e-4, 1e-2]}}}}}}\n"
    code, out, err = genever("sweep", sweep_file(text + search.format(metric="reward")), "--dry-run")
    assert (code, err, out.split(",")[0]) == (0, "", "Searches 9 runs to maximize reward")
    code, _, err = genever("sweep", sweep_file(text + search.format(metric="reward_std")), "--dry-run")
    assert (code, err.split(": ")[-1]) == (2, "neither end of that number is the better one. Name another.\n")


def test_dry_run_says_what_has_to_run_first(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    code, out, _ = genever("sweep", sweep_file("experiment: ../digits/later.gin\n"), "--dry-run")
    assert (code, out.split("\n")[-2]) == (
        0,
        "There is no finished run of 'digits/pretrain' yet. Run it first: genever run experiments/digits/pretrain.gin",
    )
    assert genever("sweep", sweep_file("experiment: ../digits/later.gin\n"))[0] == 2


def test_status_shows_the_whole_at_a_glance_from_one_question(
    genever: Genever, sweep_file: Write, cluster: Any, runs_of: RunsOf
) -> None:
    genever("sweep", sweep_file(GRID))
    cluster.end(runs_of()[0])
    cluster.end(runs_of()[1], "failed", reason="NonFiniteError: the loss is not finite at step 3. Lower it.")
    cluster.num_questions = 0
    code, out, _ = genever("status", "a")
    assert (code, cluster.num_questions) == (0, 1)
    assert out == (
        "a: 1 finished, 2 queued, 1 failed of 4\n"
        "#  AdamW.lr  train.seed  is        step  job\n"
        "0  0.001     0           finished\n"
        "1  0.001     1           failed          2_0  NonFiniteError: the loss is not finite at step 3\n"
        f"                                              (digits/pretrain/{runs_of()[1].path.name})\n"
        "2  0.003     0           queued          3_0  Priority\n"
        "3  0.003     1           queued          4_0  Priority\n"
    )


def test_status_of_a_large_sweep_shows_what_asks_for_attention(
    genever: Genever, sweep_file: Write, cluster: Any, runs_of: RunsOf
) -> None:
    genever("sweep", sweep_file(GRID.replace("seeds: 2", "seeds: 30")))
    for run in runs_of()[:50]:
        cluster.end(run)
    cluster.end(runs_of()[55], "failed")
    lines = genever("status", "a")[1].split("\n")
    assert lines[0] == "a: 50 finished, 9 queued, 1 failed of 60"
    assert [line.split()[0] for line in lines[2:-2]] == [str(number) for number in range(50, 60)]
    assert lines[-2] == "and 50 more, which --json lists"


def test_status_answers_in_json(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    genever("sweep", sweep_file(STAGES.replace(", resources: {gpus_per_process: 1, minutes: 30}", "")))
    (answer,) = json.loads(genever("status", "a", "--json")[1])
    assert (answer["sweep"], answer["counts"]) == ("a", {"queued": 4})
    assert [element["parents"] for element in answer["elements"]] == [{}, {}, {"train.start": 0}, {"train.start": 1}]


def test_status_watches_until_nothing_is_going_on(
    genever: Genever, sweep_file: Write, cluster: Any, runs_of: RunsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    genever("sweep", sweep_file("experiment: ../digits/pretrain.gin\nvary: {seeds: 2}\n"))
    waiting = runs_of()
    monkeypatch.setattr("time.sleep", lambda seconds: cluster.end(waiting.pop()))
    out = genever("status", "a", "--watch")[1]
    assert [line for line in out.split("\n") if line.startswith("a: ")] == [
        "a: 2 queued of 2",
        "a: 1 finished, 1 queued of 2",
        "a: 2 finished of 2",
    ]


def test_sweep_is_found_by_name_folder_and_file(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    file = sweep_file(GRID)
    genever("sweep", file)
    found = {open_sweep(name).path for name in ("a", "runs/sweeps/a", file)}
    assert found == {Path("runs/sweeps/a").absolute()}
    assert known_sweeps(Path("runs")) == ["a"]
    assert find_sweep("b") is None


def test_unknown_sweep_names_the_nearest(genever: Genever, sweep_file: Write, cluster: Any) -> None:
    genever("sweep", sweep_file(GRID, "lr_grid"))
    with pytest.raises(UserError) as caught:
        open_sweep("lr_gird")
    assert str(caught.value) == "there is no sweep 'lr_gird' in 'runs'. Did you mean lr_grid? Sweeps there: lr_grid."
    message = "genever retry: 'lr_gird' is neither a sweep in 'runs' nor a run's directory.\n"
    assert genever("retry", "lr_gird") == (2, "", message)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 9}', '{"format": 1, "stages": [{}]}'])
def test_manifest_that_cannot_be_read_is_a_users_error(
    content: str, genever: Genever, sweep_file: Write, cluster: Any
) -> None:
    genever("sweep", sweep_file(GRID))
    open_sweep("a").manifest_file.write_text(content)
    for command in (("status", "a"), ("retry", "a"), ("sweep", "experiments/sweeps/a.yaml")):
        code, _, err = genever(*command)
        assert (code, "cannot be read as a sweep's manifest" in err) == (2, True)


def test_json_belongs_to_the_dry_run(genever: Genever, sweep_file: Write) -> None:
    code, _, err = genever("sweep", sweep_file(GRID), "--json")
    assert (code, err) == (
        2,
        "genever sweep: --json shows what a sweep would do: give --dry-run too. What it does: genever status --json.\n",
    )


def test_sweeps_import_nothing_slow(folder: Path, sweep_file: Write) -> None:
    file = sweep_file(GRID)
    script = f"import sys; from genever.command import main; main(['sweep', {str(file)!r}, '--dry-run'])\n"
    script += "print(sorted({'torch', 'optuna', 'submitit', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "[]"
