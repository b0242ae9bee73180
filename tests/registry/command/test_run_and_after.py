"""From a gin file to a run, and what can be done with it afterwards."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from genever.command import main
from genever.execution import Measured
from genever.runs import RunDirectory
from genever.training import load_model_state
from PIL import Image
from safetensors.torch import load_file

MORE = """\
train.averages    = {'ema': @average.Constant()}
train.metrics     = [@Straightness()]
train.steps       = 4
train.save_every  = 2
train.evaluate_samples = 8
"""


@pytest.fixture(scope="module")
def root(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    (folder / "experiments/small").mkdir(parents=True)
    (folder / "experiments/small/plain.gin").write_text(small + MORE)
    (folder / "experiments/small/later.gin").write_text("train.start = 'small/plain'\ntrain.steps = 2\n")
    assert main(["run", str(folder / "experiments/small/plain.gin"), "--root", str(folder / "runs")]) == 0
    return folder


def genever(root: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([*words, "--root", str(root / "runs")])
    told = capsys.readouterr()
    return code, told.out, told.err


def only(root: Path, experiment: str) -> Path:
    return next((root / "runs" / experiment).glob("*/run.json")).parent


def test_run_leaves_what_a_run_should_hold(root: Path) -> None:
    run = only(root, "small/plain")
    facts = json.loads((run / "run.json").read_text())
    names = {path.name for path in run.iterdir()}
    assert {"resolved.gin", "resolved.json", "run.json", "metrics.jsonl", "samples", "checkpoints", "log.txt"} <= names
    assert {"status", "identity", "versions", "plugins", "seed", "host", "results", "git", "python"} <= facts.keys()
    assert facts["results"].keys() >= {"average/straightness", "raw/validation_loss"}


def test_run_prints_its_directory_last(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(root / "experiments/small/plain.gin")
    _, out, _ = genever(root, "run", file, "-b", "train.seed = 1", capsys=capsys)
    assert (Path(out.splitlines()[-1]) / "resolved.gin").is_file()


def test_later_stage_starts_from_the_average_of_the_one_before(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(root / "experiments/small/later.gin")
    code, out, _ = genever(root, "run", file, "-b", "AdamW.lr = 1e-30", capsys=capsys)
    run, start = Path(out.splitlines()[-1]), json.loads((Path(out.splitlines()[-1]) / "run.json").read_text())["start"]
    ours = load_model_state(RunDirectory(run), 2, None)
    theirs = load_model_state(RunDirectory(Path(start["run"])), 4, "ema")
    assert code == 0
    assert all(ours[name].equal(weight) for name, weight in theirs.items())


def test_start_of_another_shape_is_refused_and_leaves_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, before = str(root / "experiments/small/later.gin"), len(list((root / "runs").glob("*/later/*")))
    code, _, err = genever(root, "run", file, "-b", "DiT.width = 32", capsys=capsys)
    assert code == 2
    assert "holds another model than this file composes: network." in err
    assert "Traceback" not in err
    assert len(list((root / "runs").glob("*/later/*"))) == before


TEXT = """\
train.conditioner = @Text()
Text.width = 8
Text.heads = 2
train.steps = 1
"""
CAPTIONED = "@Captioned()\nCaptioned.data = @Digits()\nCaptioned.captions = ['a digit']\n"


def test_later_stage_may_read_a_number_more_than_its_start(
    root: Path, small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, later, fewer = (root / f"experiments/words/{name}.gin" for name in ("plain", "later", "fewer"))
    plain.parent.mkdir()
    plain.write_text(small.replace("@Digits()", CAPTIONED).replace("train.conditioner = @Classes()\n", TEXT))
    around = TEXT.replace("@Text()", "@EndTime()\nEndTime.conditioner = @Text()\nAdamW.lr = 1e-30")
    later.write_text(f"train.start = 'words/plain'\n{around}")
    fewer.write_text(f"train.start = 'words/later'\n{TEXT}")
    assert [genever(root, "run", str(file), capsys=capsys)[0] for file in (plain, later)] == [0, 0]
    theirs, ours = (load_model_state(RunDirectory(only(root, f"words/{one}")), 1, None) for one in ("plain", "later"))
    new = {name for name in ours if name.startswith("network.numbers.end_time.")}
    again = {name.replace("conditioner.conditioner.", "conditioner."): ours[name] for name in ours.keys() - new}
    assert new
    assert again.keys() == theirs.keys()
    assert all((again[name] - weight).abs().max() < 1e-20 for name, weight in theirs.items())
    code, _, err = genever(root, "run", str(fewer), capsys=capsys)
    assert (code, "holds another model than this file composes: network.numbers.end_time." in err) == (2, True)


OTHER_LOSSES = {
    "train.loss = @EDM()": "@loss.EDM()",
    "train.loss = @DDPM()\nDDPM.path = @VPCosine()": "@loss.DDPM()",
}


@pytest.mark.parametrize("loss", OTHER_LOSSES)
def test_teacher_that_was_trained_by_another_loss_is_refused(
    loss: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = root / "experiments/small/student.gin"
    file.write_text(f"train.start = 'small/plain'\ntrain.steps = 1\ntrain.distiller = @DMD()\n{loss}\n")
    code, _, err = genever(root, "check", str(file), capsys=capsys)
    assert code == 2
    assert "student.gin:3: error: train.distiller = @distiller.DMD() would read its teacher by" in err
    assert (
        f" by train.loss = {OTHER_LOSSES[loss]}, but train.start = 'small/plain' was trained by @loss.FlowMatching()" in err
    )
    assert "where outputs mean something else (loss.FlowMatching.path = @path.Linear())" in err


def test_student_may_weigh_errors_otherwise_than_its_teacher(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "experiments/small/weighted.gin"
    loss = "train.loss = @FlowMatching()\nFlowMatching.weighting = @weighting.CosMap()\n"
    file.write_text(f"train.start = 'small/plain'\ntrain.steps = 1\ntrain.distiller = @ECT()\n{loss}")
    assert genever(root, "run", str(file), capsys=capsys)[0] == 0


@pytest.fixture(scope="module")
def student(root: Path) -> str:
    file = root / "experiments/small/student.gin"
    file.write_text(
        "train.start = 'small/plain'\ntrain.steps = 1\ntrain.evaluate_samples = 8\ntrain.metrics = [@Diversity()]\n"
        "Diversity.encoder = @Classifier()\nClassifier.width = 8\nClassifier.steps = 2\n"
        "train.distiller = @ConsistencyDistillation()\n"
    )
    assert main(["run", str(file), "--root", str(root / "runs")]) == 0
    return "small/student"


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("train.solver = @Heun()", "train.solver is to be Heun, but "),
        ("Euler.num_steps = 3", "train.solver is to be Euler(num_steps=3), but "),
        ("train.guidance = @CFG()\nCFG.scale = 3.0", "train.guidance is to be CFG(scale=3.0), but "),
    ],
)
def test_student_is_sampled_as_it_was_distilled_alone(
    root: Path, student: str, binding: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for line in binding.splitlines() for word in ("-b", line)]
    code, _, err = genever(root, "evaluate", student, *words, capsys=capsys)
    assert code == 2
    assert message in err
    assert "is sampled as ConsistencyDistillation has distilled it: by Renoising(num_steps=1), guided by None. " in err
    assert "or set ConsistencyDistillation.num_steps or ConsistencyDistillation.times." in err


def test_binding_that_is_said_twice_counts_the_last_time(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bindings = ["-b", "Euler.num_steps = 2", "-b", "Euler.num_steps = 3"]
    code, _, err = genever(root, "evaluate", "small/plain", *bindings, capsys=capsys)
    assert code == 0
    assert "-b:2: warning: solver.Euler.num_steps was already set to 2 at -b:1." in err


def test_student_takes_the_steps_that_its_distiller_is_given(
    root: Path, student: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("evaluate", student, "--json", "-b", "ConsistencyDistillation.num_steps = 2")
    code, out, _ = genever(root, *words, capsys=capsys)
    assert code == 0
    assert "2 steps of Renoising" in out


def test_binding_may_be_meant_for_one_of_several_runs(
    root: Path, student: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", "small/plain", student, "--num", "2", "--out", str(tmp_path / "grid.png")]
    bindings = ["-b", "ConsistencyDistillation.num_steps = 2", "-b", "Euler.num_steps = 2"]
    code, _, err = genever(root, *words, *bindings, capsys=capsys)
    assert code == 0
    assert "warning: train.solver is to be Euler(num_steps=2), but " in err


def test_start_that_has_not_run_is_refused(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(root / "experiments/small/later.gin"), "--root", str(tmp_path)]) == 2
    assert "There is no finished run of 'small/plain' yet" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_sample_writes_a_grid_of_the_asked_label(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "grid.png")
    code, printed, _ = genever(root, "sample", "small/plain", "--label", "3", "--num", "4", "--out", out, capsys=capsys)
    assert (code, printed.strip()) == (0, out)
    assert Path(out).is_file()


def test_samples_of_several_runs_stand_below_each_other(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(only(root, "small/plain"))
    sheets = {num: str(tmp_path / f"{num}.png") for num in (1, 2)}
    for num, out in sheets.items():
        words = ["sample", *[run] * num, "--label", "3", "--label", "1", "--num", "4", "--out", out]
        assert genever(root, *words, capsys=capsys)[0] == 0
    one, two = (np.asarray(Image.open(out)) for out in sheets.values())
    assert two.tolist() == np.concatenate([one, one]).tolist()


def test_runs_of_other_seeds_are_sampled_from_the_noise_of_the_first(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = only(root, "small/plain"), root / "runs/small/reseeded/x"
    shutil.copytree(run, other)
    (other / "resolved.gin").write_text((run / "resolved.gin").read_text() + "train.seed = 5\n")
    alone, both = str(tmp_path / "alone.png"), str(tmp_path / "both.png")
    assert genever(root, "sample", str(run), "--num", "4", "--out", alone, capsys=capsys)[0] == 0
    assert genever(root, "sample", str(run), str(other), "--num", "4", "--out", both, capsys=capsys)[0] == 0
    one, two = (np.asarray(Image.open(out)) for out in (alone, both))
    assert two.tolist() == np.concatenate([one, one]).tolist()
    shutil.rmtree(other.parent)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "small/plain", "--label", "1", "--caption", "a dog"], "--label and --caption both say what to ask for"),
        (["sample", "small/plain", "--label", "10"], "--label is 10; this run's data has 10 classes, counted from 0."),
        (["sample", "small/plain", "--caption", "a dog"], "--caption was given, but this run's data has no captions."),
        (["sample", "small/plain", "--num", "0"], "--num is 0; ask for at least one image."),
        (["sample", "small/plain", "--weights", "emma"], "has no average 'emma'. It has: raw, ema."),
        (["sample", "small/plain", "--step", "3"], "has no checkpoint of step 3; its checkpoints are [2, 4]."),
        (["sample", "small/plane"], "there is no run at 'small/plane', and no finished run of that name"),
        (["evaluate", "small/plain", "-b", "Eular.num_steps = 1"], "there is no part Eular"),
        (
            ["evaluate", "small/plain", "-b", "Heun.num_steps = 4"],
            "solver.Heun.num_steps has no effect: train does not reach",
        ),
        (["sample", "small/plain", "small/plain", "-b", "Heun.num_steps = 4"], "-b:1: error: solver.Heun.num_steps has no"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(
    words: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = genever(root, *words, capsys=capsys)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_evaluate_measures_under_another_solver(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = genever(root, "evaluate", "small/plain", "--json", capsys=capsys)[1]
    other = genever(root, "evaluate", "small/plain", "--json", "-b", "Straightness.num_steps = 2", capsys=capsys)[1]
    assert json.loads(one)["straightness"] != json.loads(other)["straightness"]
    assert json.loads(other)["protocols"] == {"straightness": "256 paths in 2 steps of Euler"}


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("FrechetDistance", "metric.FrechetDistance was given 1 image, which has no covariance."),
        ("KID", "metric.KID compares 1 generated with "),
        ("PrecisionRecall", "metric.PrecisionRecall.neighbours = 3, but there are 1 generated"),
    ],
)
def test_metric_that_has_too_few_samples_says_so(
    root: Path, metric: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = [f"{metric}.encoder = @Classifier()", "Classifier.width = 8", "Classifier.steps = 1"]
    bindings = [f"train.metrics = [@{metric}()]", *encoder, "train.evaluate_samples = 1"]
    words = [word for binding in bindings for word in ("-b", binding)]
    code, _, err = genever(root, "evaluate", "small/plain", *words, capsys=capsys)
    assert (code, "Traceback" in err) == (2, False)
    assert message in err


def test_number_that_is_not_finite_is_null_in_json(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {"kid": Measured(float("nan"), "how"), "fd": Measured(2.0, "")}
    monkeypatch.setattr("genever.execution.measure", lambda opened: numbers)
    found = json.loads(genever(root, "evaluate", "small/plain", "--json", capsys=capsys)[1], parse_constant=pytest.fail)
    assert (found["kid"], found["fd"], found["protocols"]["kid"]) == (None, 2.0, "how")


def test_protocol_stands_beside_the_number_and_in_the_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = genever(root, "evaluate", "small/plain", capsys=capsys)[1]
    facts = json.loads((only(root, "small/plain") / "run.json").read_text())
    assert re.search(r"^  straightness +\d+\.\d{4} +256 paths in 32 steps of Euler$", told, re.MULTILINE)
    assert facts["protocols"]["average/straightness"] == "256 paths in 32 steps of Euler"
    assert facts["better"] == {"validation_loss": "lower", "straightness": "lower"}
    assert facts["protocols"]["raw/validation_loss"] == "256 held-out samples, at fixed noise and evenly spread times"


def test_export_writes_weights_once(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "exported"
    assert genever(root, "export", "small/plain", str(folder), capsys=capsys)[0] == 0
    assert load_file(folder / "model.safetensors")
    code, _, err = genever(root, "export", "small/plain", str(folder), capsys=capsys)
    assert code == 2
    assert "exists already; nothing is overwritten" in err


def test_finished_run_has_nothing_left_to_resume(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["resume", str(only(root, "small/plain"))]) == 0
    assert "is finished; there is nothing left to do." in capsys.readouterr().err


@pytest.mark.parametrize("found", [None, "", "{", "[]"])
def test_resume_of_what_is_no_run_is_refused(found: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if found is not None:
        (tmp_path / "run.json").write_text(found)
        (tmp_path / "resolved.gin").write_text("")
    assert main(["resume", str(tmp_path)]) == 2
    assert "is no run's directory" in capsys.readouterr().err


def test_check_builds_without_training(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = genever(root, "check", str(root / "experiments/small/plain.gin"), "--build", capsys=capsys)
    assert code == 0
    assert "group      model" in out


def test_preflight_measures_what_a_run_will_cost(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = genever(root, "check", str(root / "experiments/small/plain.gin"), "--preflight", capsys=capsys)
    assert code == 0
    assert all(word in out for word in ("2 taken, saved, resumed, 1 more", "at the peak", "s a step", "for 4 steps"))
