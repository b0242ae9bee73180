"""The table of a terminal: exact, best first, with what is missing and what failed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.results import Chapter, Table, gather
from genever.runs import RunDirectory, known_experiments, list_runs
from genever.sweeps import SweepDirectory

NewRun = Callable[..., RunDirectory]
NewSweep = Callable[..., SweepDirectory]
Read = Callable[..., tuple[Table, list[Chapter]]]
Shown = Callable[..., str]


def _numbers(text: str) -> list[str]:
    """The first cell of each row."""
    return [line.split()[0] for line in text.split("\n")[3:] if line and line.lstrip()[0].isdigit()]


def test_table_shows_what_varied_and_the_best_run_first(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    runs = [new_run({"average/validation_loss": 0.3, "average/fd": fd}) for fd in (20.0, 3.14159, 12.5)]
    varied = [{"AdamW.lr": lr, "train.sampler": "@sampler.Uniform()", "train.seed": "0"} for lr in ("1e-4", "1e-3", "1e-2")]
    varied[2]["train.sampler"] = "@LogitNormal()"
    new_sweep(list(zip(varied, runs, strict=True)))
    ids = [run.path.name for run in runs]
    assert shown() == (
        "tiny: 3 runs of digits/fake; 3 finished\n"
        "\n"
        "#    lr  sampler      is        step     fd  loss  validation_loss  run\n"
        f"1  1e-3  Uniform      finished   100  3.142  0.25              0.3  {ids[1]}\n"
        f"2  1e-2  LogitNormal  finished   100   12.5  0.25              0.3  {ids[2]}\n"
        f"0  1e-4  Uniform      finished   100     20  0.25              0.3  {ids[0]}\n"
        "(best first: lowest fd)"
    )


def test_table_names_failures_with_reason_and_retry(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    good, *bad = new_run(), *(new_run({}, status="failed") for _ in range(2))
    for run in bad:
        run.update_facts(reason=f"the loss is not finite; see {run.path}/nonfinite")
    new_sweep([({"lr": "1"}, good), ({"lr": "2"}, bad[0]), ({"lr": "3"}, bad[1])])
    assert shown().split("\n\n", 2)[2] == (
        "2 failed:\n"
        f"  1  lr 2  digits/fake/{bad[0].path.name}, step 100\n"
        f"  2  lr 3  digits/fake/{bad[1].path.name}, step 100\n"
        "    failed: the loss is not finite; see RUN/nonfinite\n"
        "\n"
        "To try again what failed:\n"
        "  genever retry tiny"
    )


def test_table_of_an_experiment_shows_what_somebody_chose(new_run: NewRun, shown: Shown) -> None:
    new_run({"average/fd": 2.0}, frozen={"optimizer.AdamW.lr": "0.1"})
    new_run({"average/fd": 1.0}, frozen={"train.start": "'digits/base'"})
    header, first, second = shown("digits/fake").split("\n")[2:5]
    assert header.split() == ["#", "lr", "start", "is", "step", "fd", "loss", "run"]
    assert first.split()[:5] == ["1", "0.001", "digits/base", "finished", "100"]
    assert second.split()[:4] == ["0", "0.1", "finished", "100"]


@pytest.mark.parametrize("name", ["digits/fake", "runs/digits/fake", "runs/digits", "digits", "runs"])
def test_folder_of_runs_is_read_without_a_sweep(name: str, new_run: NewRun, read: Read) -> None:
    new_run(), new_run()
    table, _ = read(name)
    assert (len(table.rows), table.experiments) == (2, ("digits/fake",))


@pytest.mark.parametrize("name", ["runs", "."])
def test_experiments_of_every_depth_are_read_together(name: str, new_run: NewRun, read: Read) -> None:
    names = ("deep/in/here", "digits/fake", "mine")
    for experiment in names:
        new_run(experiment=experiment)
    assert read(name)[0].experiments == names
    assert known_experiments(Path("runs")) == list(names)
    assert len(list_runs(Path("runs"))) == 3


def test_root_that_is_a_run_or_has_runs_of_no_experiment_knows_none(new_run: NewRun) -> None:
    run = new_run()
    assert known_experiments(run.path) == known_experiments(run.path.parent) == []


def test_failed_run_of_no_sweep_is_resumed(new_run: NewRun, shown: Shown) -> None:
    run = new_run({}, status="failed", reason="no memory")
    assert shown("digits/fake").endswith(f"To try again what failed:\n  genever resume {run.path}")


def test_rows_of_seeds_are_one_line_of_mean_and_deviation(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    fds = {"1e-3": (10.0, 12.0, 14.0), "1e-2": (5.0, 6.0)}
    runs = [({"lr": lr, "train.seed": str(n)}, new_run({"average/fd": fd})) for lr in fds for n, fd in enumerate(fds[lr])]
    new_sweep([*runs, ({"lr": "1e-2", "train.seed": "2"}, new_run({"average/fd": 1.0}, status="failed", reason="x"))])
    assert shown(by_seed=True).split("\n")[2:6] == [
        "  lr  finished          fd      loss",
        "1e-2    2 of 3  5.5 ± 0.71  0.25 ± 0",
        "1e-3    3 of 3      12 ± 2  0.25 ± 0",
        "(best first: lowest fd; mean ± standard deviation over the seeds that finished)",
    ]


def test_mean_of_seeds_that_did_not_diverge_says_so_and_ranks_last(
    new_run: NewRun, new_sweep: NewSweep, shown: Shown
) -> None:
    fds = {"x": (1.9, None, None), "y": (2.0, 2.0, 2.0), "z": (3.0,)}
    new_sweep(
        [({"lr": lr, "train.seed": str(n)}, new_run({"average/fd": fd})) for lr in fds for n, fd in enumerate(fds[lr])]
    )
    assert shown(by_seed=True).split("\n")[3:6] == [
        "y     3 of 3         2 ± 0  0.25 ± 0",
        "z     1 of 1             3      0.25",
        "x     3 of 3  1.9 (1 of 3)  0.25 ± 0",
    ]


def test_only_seed_has_no_deviation(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    new_sweep([({"lr": "1", "train.seed": "0"}, new_run({"average/fd": 2.5}))])
    assert "1    1 of 1  2.5  0.25" in shown(by_seed=True)


def test_empty_sweep_says_so(new_sweep: NewSweep, shown: Shown) -> None:
    new_sweep()
    assert shown() == "tiny: 0 runs of digits/fake\n\nThere are no runs yet."


def test_element_without_a_run_is_a_row(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    new_sweep([({"lr": "1"}, None), ({"lr": "2"}, new_run())])
    text = shown()
    assert "2 runs of digits/fake; 1 created, 1 finished" in text or "1 finished, 1 created" in text
    assert "0   1  created" in text


def test_deleted_run_is_a_row(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    run = new_run()
    new_sweep([({"lr": "1"}, run), ({"lr": "2"}, new_run())])
    shutil.rmtree(run.path)
    assert _numbers(shown()) == ["1", "0"]


def test_broken_run_is_counted_and_left_out(new_run: NewRun, shown: Shown) -> None:
    run, _ = new_run(), new_run()
    (run.path / "run.json").write_text('{"status": "fini')
    assert shown("digits/fake").startswith("digits/fake: 1 run of digits/fake; 1 finished; 1 more cannot be read\n")


def test_unfinished_run_shows_what_it_measured_last(new_run: NewRun, shown: Shown) -> None:
    run = new_run({"average/fd": 7.0}, status="stopped")
    run.update_facts(results={"average/fd": 99.0})
    run.append_metrics(150, {"model/loss": 0.125})
    assert shown("digits/fake").split("\n")[3].split()[:5] == ["0", "stopped", "150", "7", "0.125"]


def test_unfinished_run_ranks_below_worse_that_finished(new_run: NewRun, read: Read) -> None:
    new_run({"average/fd": 1.0}, status="stopped"), new_run({"average/fd": 50.0}), new_run({})
    assert [row.number for row in read("digits/fake")[1][0].rows] == [1, 2, 0]


def test_line_cut_off_by_a_kill_is_passed_over(new_run: NewRun, shown: Shown) -> None:
    run = new_run({"average/fd": 7.0}, status="stopped")
    with open(run.metrics, "a") as file:
        file.write('{"step": 150, "model/loss": 0.1')
    assert shown("digits/fake").split("\n")[3].split()[:4] == ["0", "stopped", "100", "7"]


@pytest.mark.parametrize(
    "content", ["", "\0\0\0", "[1]\n3\nnull\n", '{"step": "x"}\n{"loss": 1}\n', '{"step": 5, "a": {}}\n']
)
def test_odd_metrics_are_no_trouble(content: str, new_run: NewRun, shown: Shown) -> None:
    run = new_run({})
    run.metrics.write_text(content)
    assert _numbers(shown("digits/fake")) == ["0"]


def test_run_without_metrics_is_a_row(new_run: NewRun, shown: Shown) -> None:
    new_run({}).metrics.unlink()
    assert shown("digits/fake").split("\n")[3].split()[:2] == ["0", "finished"]


def test_long_metrics_are_read_from_their_end(new_run: NewRun, shown: Shown) -> None:
    run = new_run({}, losses=(), status="stopped")
    for step in range(1, 2000):
        run.append_metrics(step, {"model/loss": float(step)})
    assert shown("digits/fake").split("\n")[3].split()[:4] == ["0", "stopped", "1999", "1999"]


def test_what_is_not_finite_is_said_and_ranks_last(new_run: NewRun, shown: Shown) -> None:
    new_run({"average/fd": None}), new_run({"average/fd": 90.0}), new_run({"average/fd": float("nan")})
    text = shown("digits/fake")
    assert _numbers(text) == ["1", "0", "2"]
    assert text.count("not finite") == 2


RAW, AVERAGED = {"raw/fd": 2.0}, ({"average/fd": 1.0, "raw/fd": 9.0}, {"average/fd": 3.0})


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_run_without_an_average_is_ranked_among_those_with_one(order: tuple[int, ...], new_run: NewRun, read: Read) -> None:
    for number in order:
        new_run((RAW, *AVERAGED)[number])
    _, [chapter] = read("digits/fake")
    assert (chapter.order, [row.value("fd") for row in chapter.rows]) == ("best first: lowest fd", [1.0, 2.0, 3.0])
    assert read("digits/fake", metric="raw/fd")[1][0].order == "best first: lowest raw/fd"


def test_search_says_what_is_best(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    runs = [new_run({"average/fd": 1.0, "average/reward": value}) for value in (0.2, 0.9)]
    new_sweep([({"lr": "1"}, runs[0]), ({"lr": "2"}, runs[1])], metric=("reward", "maximize"))
    _, [chapter] = read()
    assert (chapter.order, chapter.rows[0].number) == ("best first: highest reward", 1)


BETTER = {"validation_loss": "lower", "fd": "lower", "fd_std": None, "accuracy": "higher"}


def test_keep_best_says_what_is_looked_at(new_run: NewRun, read: Read) -> None:
    for value in (0.2, 0.9):
        results = {"average/fd": 1.0, "average/accuracy": value}
        new_run(results, frozen={"train.keep_best": "'accuracy'"}, better=BETTER)
    _, [chapter] = read("digits/fake")
    assert (chapter.order, chapter.rows[0].number) == ("best first: highest accuracy", 1)


@pytest.mark.parametrize(("name", "words"), [("fd", "lowest fd"), ("accuracy", "highest accuracy")])
@pytest.mark.parametrize("highest", [False, True])
def test_metric_says_what_is_best(name: str, words: str, highest: bool, new_run: NewRun, read: Read) -> None:
    new_run({"average/fd_std": 0.5, f"average/{name}": 0.5}, better=BETTER)
    assert read("digits/fake", highest=highest)[1][0].order == f"best first: {words}"


def test_asked_metric_may_be_any_number(new_run: NewRun, read: Read) -> None:
    for loss in (0.9, 0.1):
        new_run({"raw/fd": loss, "average/fd": 1.0}, losses=(loss,))
    for name in ("raw/fd", "loss", "model/loss"):
        assert read("digits/fake", metric=name)[1][0].rows[0].number == 1
        assert read("digits/fake", metric=name, highest=True)[1][0].rows[0].number == 0


def test_unknown_metric_names_the_nearest(new_run: NewRun, read: Read) -> None:
    new_run({"average/class_accuracy": 1.0})
    with pytest.raises(UserError, match=r"no run of digits/fake has a number 'class_acuracy'. Did you mean class_accuracy"):
        read("digits/fake", metric="class_acuracy")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("#", [0, 1, 2]),
        ("lr", [1, 2, 0]),
        ("AdamW.lr", [1, 2, 0]),
        ("fd", [2, 1, 0]),
        ("loss", [0, 1, 2]),
        ("step", [0, 1, 2]),
    ],
)
def test_rows_are_sorted_by_any_column(
    by: str, expected: list[int], new_run: NewRun, new_sweep: NewSweep, read: Read
) -> None:
    lrs = ("1e-1", "2e-5", "3e-3")
    runs = [new_run({"average/fd": 3.0 - n}, losses=[0.1 * (n + 1)] * (n + 1)) for n in range(3)]
    new_sweep([({"AdamW.lr": lr}, run) for lr, run in zip(lrs, runs, strict=True)])
    assert [row.number for row in read(by=by)[1][0].rows] == expected
    assert [row.number for row in read(by=by, descending=True)[1][0].rows] == expected[::-1]


def test_rows_with_nothing_in_the_column_are_last_either_way(new_run: NewRun, read: Read) -> None:
    new_run({}, losses=()), new_run({"average/fd": 1.0}), new_run({"average/fd": 2.0})
    for descending in (False, True):
        assert read("digits/fake", by="fd", descending=descending)[1][0].rows[-1].number == 0


def test_unknown_column_names_the_nearest(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    new_sweep([({"AdamW.weight_decay": "1"}, new_run()), ({"AdamW.weight_decay": "2"}, new_run())])
    with pytest.raises(UserError, match=r"has a column 'weight_decoy'\. Did you mean weight_decay"):
        read(by="weight_decoy")


@pytest.mark.parametrize("name", ["digits/fak", "tni", "", "a\0b", "no/such", "/"])
def test_unknown_name_lists_what_there_is(name: str, new_run: NewRun, new_sweep: NewSweep) -> None:
    new_sweep([({}, new_run())])
    with pytest.raises(UserError, match="Sweeps there: tiny; experiments with runs: digits/fake"):
        gather(name, Path("runs"))


def test_sweep_file_that_was_not_submitted_says_how(new_sweep: NewSweep) -> None:
    new_sweep()
    with pytest.raises(UserError, match=r"Submit it first: genever sweep other\.yaml\."):
        gather("other.yaml", Path("runs"))


def test_sweep_is_found_by_its_file(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    new_sweep([({}, new_run())])
    assert read("tiny.yaml")[0].name == "tiny"


def test_run_that_is_half_made_hides_no_other(new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = new_run()
    monkeypatch.setattr(Path, "rename", lambda *paths: exit("killed"))
    with pytest.raises(SystemExit):
        new_run()
    assert len(list(Path("runs/.making").glob("*/run.json"))) == 1
    assert [row.run for row in gather("runs", Path("runs")).rows] == [whole]


def test_broken_manifest_is_a_users_error(new_sweep: NewSweep) -> None:
    new_sweep().manifest_file.write_text("{")
    with pytest.raises(UserError, match=r"manifest\.json cannot be read"):
        gather("tiny", Path("runs"))


def test_narrow_terminal_says_what_it_leaves_out(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    new_sweep([({"lr": "1"}, new_run({"average/fd": 1.0, "average/diversity": 2.0})), ({"lr": "2"}, new_run())])
    text = shown(width=40)
    assert "no room for" in text
    assert all(len(line) <= 40 for line in text.split("\n"))


def test_names_are_as_short_as_they_can_be(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    keys = ("AdamW.lr", "critic/AdamW.lr", "DiT.width", "train.steps", "train.step", "LR")
    new_sweep([({key: str(n) for key in keys}, new_run()) for n in range(2)])
    assert shown(width=200).split("\n")[2].split()[1:7] == [
        "AdamW.lr",
        "critic/AdamW.lr",
        "width",
        "steps",
        "train.step",
        "LR",
    ]


def test_values_that_shorten_to_the_same_stay_whole(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    new_sweep([({"x": text}, new_run()) for text in ("@loss.Huber()", "@distance.Huber()", "'Huber'")])
    text = shown()
    assert all(f"  {one}  " in text for one in ("@loss.Huber()", "@distance.Huber()", "'Huber'"))


def test_stages_of_a_lifecycle_are_tables_of_their_own(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    runs = [new_run({"average/fd": 2.0}), new_run({"average/reward": 0.5})]
    new_sweep([({"lr": "1"}, runs[0]), ({"kl": "2"}, runs[1])], stages=("base", "align"), of=("base", "align").__getitem__)
    _, base, align = shown().split("\n\n")
    assert base.startswith("stage base\n#  lr  is        step  fd  loss")
    assert align.startswith("stage align\n#  kl  is        step  reward  loss")


def test_metric_of_one_stage_does_not_trouble_another(new_run: NewRun, new_sweep: NewSweep, read: Read) -> None:
    runs = [new_run({"average/fd": 2.0}), new_run({"average/reward": 0.5})]
    new_sweep([({}, run) for run in runs], stages=("base", "align"), of=("base", "align").__getitem__)
    assert [one.metric.words for one in read(metric="reward", highest=True)[1]] == ["lowest fd", "highest reward"]


def test_elements_that_share_a_run_are_told(new_run: NewRun, new_sweep: NewSweep, shown: Shown) -> None:
    run = new_run()
    new_sweep([({"lr": "0.001"}, run), ({"lr": "1e-3"}, run)])
    assert shown().startswith(
        "tiny: 2 runs of digits/fake; 2 finished; 1 shares a run with another, since they compose the same"
    )


def test_sweep_in_another_root_is_retried_there(new_run: NewRun, new_sweep: NewSweep, folder: Path, shown: Shown) -> None:
    new_sweep([({}, new_run({}, status="failed", reason="no disk"))])
    (folder / "runs").rename(folder / "elsewhere")
    sweep = folder / "elsewhere/sweeps/tiny"
    assert json.loads((sweep / "manifest.json").read_text())["name"] == "tiny"
    assert shown(str(sweep)).endswith("genever retry tiny --root elsewhere")
