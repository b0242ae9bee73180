"""`genever results` and `genever compare`, as they are called."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.command import main
from genever.runs import RunDirectory
from genever.sweeps import SweepDirectory

NewRun = Callable[..., RunDirectory]
NewSweep = Callable[..., SweepDirectory]
Said = pytest.CaptureFixture[str]


@pytest.fixture
def three(new_run: NewRun, new_sweep: NewSweep) -> list[RunDirectory]:
    """The runs of a sweep: two seeds that finished, and one run that failed."""
    runs = [new_run({"average/fd": fd}) for fd in (2.0, 4.0)]
    runs.append(new_run({"average/fd": None}, losses=(1.0, float("nan")), status="failed", reason='a "b",\nc'))
    varied = [{"AdamW.lr": lr, "train.seed": seed} for lr, seed in (("1e-3", "0"), ("1e-3", "1"), ("1e-1", "0"))]
    new_sweep(list(zip(varied, runs, strict=True)))
    return runs


def test_results_prints_the_table(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("tiny: 3 runs of digits/fake; 2 finished, 1 failed\n\n#    lr  seed  is ")


def test_csv_holds_everything_under_full_names(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--csv", "-"]) == 0
    best, _, failed = csv.DictReader(capsys.readouterr().out.splitlines(keepends=True))
    assert (best["run"], best["AdamW.lr"], best["train.seed"], best["average/fd"], best["model/loss"]) == (
        str(three[0].path.absolute()),
        "1e-3",
        "0",
        "2.0",
        "0.25",
    )
    assert (failed["condition"], failed["reason"], failed["average/fd"]) == ("failed", 'a "b",\nc', "nan")


@pytest.mark.parametrize("sign", ["\r", "\n", "\r\n", ",", '"', ";"])
def test_csv_has_one_line_of_cells_for_each_run_whatever_its_reason(sign: str, new_run: NewRun) -> None:
    new_run({}, status="failed", reason=f"a{sign}b")
    assert main(["results", "digits/fake", "--csv", "a.csv"]) == 0
    with open("a.csv", encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file)
    assert (row["reason"], row["step"]) == (f"a{sign}b", "100")


def test_csv_and_page_are_written_beside_the_table(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--csv", "out/a.csv", "--html"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("tiny: 3 runs")
    assert said.err.splitlines() == ["wrote out/a.csv", "wrote runs/sweeps/tiny/results.html"]
    assert Path("out/a.csv").read_text().startswith("number,stage,run,")
    assert Path("runs/sweeps/tiny/results.html").read_text().startswith("<!doctype html>")


def test_page_has_the_best_first_however_the_table_is_sorted(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--sort", "fd", "--descending", "--html", "page.html"]) == 0
    assert re.findall(r'"n":(\d)', Path("page.html").read_text()) == ["0", "1", "2"]
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[3:6]] == ["1", "0", "2"]


def test_page_of_an_experiment_is_written_here_unless_named(three: list[RunDirectory]) -> None:
    assert main(["results", "digits/fake", "--html"]) == 0
    assert main(["results", "digits/fake", "--html", "x/y.html"]) == 0
    assert Path("results.html").is_file()
    assert Path("x/y.html").is_file()


@pytest.mark.parametrize(
    ("there", "said"), [(True, []), (False, ["there is no browser here; open page.html where there is one"])]
)
def test_page_is_opened_in_a_browser(
    there: bool, said: list[str], three: list[RunDirectory], capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or there)
    assert main(["results", "tiny", "--html", "page.html", "--open"]) == 0
    assert opened == [Path("page.html").absolute().as_uri()]
    assert capsys.readouterr().err.splitlines() == ["wrote page.html", *said]


def test_json_holds_everything(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [stage] = found["stages"]
    assert (stage["metric"], stage["best"], [run["number"] for run in stage["runs"]]) == ("fd", "lowest", [0, 1, 2])
    assert stage["runs"][2]["results"] == {"average/fd": None}
    assert stage["runs"][0]["varied"] == {"AdamW.lr": "1e-3", "train.seed": "0"}
    assert found["sweep"].endswith("tiny.yaml")


def test_json_of_seeds_holds_means(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--json", "--group-seeds"]) == 0
    first, second = json.loads(capsys.readouterr().out)["stages"][0]["groups"]
    assert (first["varied"], first["numbers"], first["finished"]) == ({"AdamW.lr": "1e-3"}, [0, 1], 2)
    assert first["results"]["average/fd"] == {"mean": 3.0, "std": pytest.approx(2**0.5), "num": 2}
    assert (second["finished"], second["results"]) == (0, {})


def test_results_are_sorted_as_asked(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["results", "tiny", "--sort", "fd", "--descending"]) == 0
    assert "(sorted by fd, turned around" in capsys.readouterr().out
    assert main(["results", "tiny", "--metric", "loss", "--maximize"]) == 0
    assert "(best first: highest loss" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["results", "tinny"],
        ["results", "tiny", "--metric", "df"],
        ["results", "tiny", "--sort", "sed"],
        ["results", "tiny", "--csv", "/"],
        ["compare", "digits/fake"],
        ["compare", "digits/fake", "digits/fke"],
    ],
)
def test_wrong_input_is_two_and_one_line(words: list[str], three: list[RunDirectory], capsys: Said) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"genever {words[0]}: ")
    assert (said.out, "Traceback" in said.err, len(said.err.splitlines())) == ("", False, 1)


def test_compare_prints_what_differs(three: list[RunDirectory], capsys: Said) -> None:
    assert main(["compare", *(str(run.path) for run in three[:2])]) == 0
    assert "average/fd     2     4     +2" in capsys.readouterr().out
    assert main(["compare", "--json", *(str(run.path) for run in three)]) == 0
    assert len(json.loads(capsys.readouterr().out)["losses"]) == 2


@pytest.mark.parametrize("words", [["results", "tiny", "--html"], ["compare", "RUN", "RUN"]])
def test_command_never_imports_torch(words: list[str], three: list[RunDirectory]) -> None:
    runs = iter(three)
    words = [str(next(runs).path) if word == "RUN" else word for word in words]
    script = f"import sys\nfrom genever.command import main\nassert main({words}) == 0\nassert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_name_that_no_terminal_can_say_is_said_otherwise(new_run: NewRun, capsys: Said) -> None:
    run = new_run({}, status="failed", reason="no file \udcff")
    assert main(["results", "digits/fake", "--csv", "a.csv", "--html"]) == 0
    assert main(["compare", str(run.path), str(new_run().path)]) == 0
    assert capsys.readouterr().out.count("no file \\udcff") == 2
