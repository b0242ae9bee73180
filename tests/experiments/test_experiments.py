"""Every shipped experiment checks without a warning, trains two steps in each round, can be sampled, and tells the truth."""

import json
import re
from pathlib import Path

import pytest
from genever.command import main

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(file for file in (ROOT / "experiments").glob("*/*.gin") if file.name != "base.gin")
SHORT = [
    "train.steps = 2",
    "train.batch_size = 16",
    "train.evaluate_samples = 20",
    "train.validate_samples = 8",
    "train.sample_images = 4",
]
#: And of experiments that name a part.
SHORTER = {
    "DMD": "DMD.num_pairs = 12",
    "DreamBooth": "DreamBooth.num_prior = 12",
    "SubjectFidelity": "encoder.Classifier.steps = 20",
    "Reflow": "Reflow.num_pairs = 12",
    "InstaFlow": "InstaFlow.num_pairs = 12",
    "LADD": "LADD.num_synthetic = 12",
    "rollout/Euler": "rollout/Euler.num_steps = 2",
}


def name_of(file: Path) -> str:
    return file.relative_to(ROOT / "experiments").with_suffix("").as_posix()


def header_of(file: Path) -> str:
    return file.read_text().split("\n\n")[0]


def reads_files(file: Path) -> bool:
    """Whether an experiment says that it needs what `tools/local-files` makes."""
    return "tools/local-files" in header_of(file)


def runs_of(file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The experiments that a file starts from, or whose runs its parts name."""
    capsys.readouterr()
    assert main(["resolve", str(file), "--json"]) == 0
    resolved = json.loads(capsys.readouterr().out)
    return [named["written"] for named in (resolved["start"], *resolved["reads"].values()) if named]


def run_short(file: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Trains two steps, after two steps of whatever the experiment needs."""
    for needed in runs_of(file, capsys):
        if not list((root / needed).glob("*/run.json")):
            run_short(ROOT / "experiments" / f"{needed}.gin", root, capsys)
    text = file.read_text()
    fewer = [binding for part, binding in SHORTER.items() if f"@{part}()" in text or f"\n{part}." in text]
    fewer += [] if "train.solver" in text else ["Euler.num_steps = 2"]  # It is that of base.gin.
    bindings = [word for binding in [*SHORT, *fewer] for word in ("-b", binding)]
    capsys.readouterr()
    assert main(["run", str(file), "--root", str(root), *bindings]) == 0
    return Path(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name_of)
def test_experiment_checks_without_a_warning(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # Where there are no files: checking opens none.
    code = main(["check", str(file), "--root", str(tmp_path)])
    said = [line for line in capsys.readouterr().err.splitlines() if ": warning: " in line or ": error: " in line]
    assert code == 0
    assert all("there is no finished run" in line for line in said), said


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name_of)
def test_experiment_trains_two_steps_and_can_be_sampled(
    file: Path,
    root: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(request.getfixturevalue("local_files").parent if reads_files(file) else tmp_path)
    run = run_short(file, root, capsys)
    assert json.loads((run / "run.json").read_text())["status"] == "finished"
    assert main(["sample", str(run), "--num", "4", "--out", str(tmp_path / "grid.png")]) == 0
    assert (tmp_path / "grid.png").stat().st_size > 0


@pytest.mark.parametrize("file", filter(reads_files, EXPERIMENTS), ids=name_of)
def test_experiment_whose_files_are_missing_is_refused_in_a_sentence(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(file), "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert re.search(r"path = 'files/\w+' ", said), said
    assert "Traceback" not in said


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name_of)
def test_experiment_says_what_it_costs_and_what_came_out(file: Path) -> None:
    header = header_of(file)
    assert all(f"{word}:" in header for word in ("What", "Source", "Cost", "Expect", "Run")), header
    assert f"genever run experiments/{name_of(file)}.gin" in header


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name_of)
def test_experiment_says_who_makes_the_files_that_it_reads(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["resolve", str(file)]) == 0
    assert ("'files/" in capsys.readouterr().out) == reads_files(file)


@pytest.mark.parametrize("file", EXPERIMENTS, ids=name_of)
def test_experiment_expects_what_the_log_says(file: Path) -> None:
    said = header_of(file).partition("Expect:")[2].split("\n")[0].strip()
    expected, logged = re.findall(r"(?:^| )(\d+)\.(\d+)\b", said), numbers_of(file.stem)
    assert expected or said == "not measured yet"
    for whole, digits in expected:
        number, precision = float(f"{whole}.{digits}"), 0.5 * 10 ** -len(digits) + 1e-9
        assert any(abs(number - other) <= precision for other in logged), number


def numbers_of(name: str) -> list[float]:
    """The numbers in those sections of the log that speak of an experiment; percentages as shares."""
    sections = re.split(r"^#+ ", (ROOT / "experiments/LOG.md").read_text(), flags=re.MULTILINE)
    text = "".join(section for section in sections if re.search(rf"\b{name}\b", section, re.IGNORECASE))
    return [float(number) / (100 if percent else 1) for number, percent in re.findall(r"(\d+(?:\.\d+)?)( %)?", text)]
