"""What a user gets wrong around a run is said in a sentence, never in a traceback."""

from pathlib import Path

import pytest
import torch
from genever.command import main
from genever.errors import UserError
from genever.execution import Place, pick_device
from genever.execution._execute import _alone_in
from genever.execution._open import _fill
from genever.runs import RunDirectory
from genever.testing import toy_composition
from torch import nn

MORE = """\
train.steps       = 1
train.sample_images    = 0
train.validate_samples = 0
"""


@pytest.fixture(scope="module")
def root(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "small").mkdir()
    (folder / "small/plain.gin").write_text(small + MORE)
    assert main(["run", str(folder / "small/plain.gin"), "--root", str(folder / "runs")]) == 0
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "{run}", "--out", "grid.xyz"], "--out is 'grid.xyz', but what is written is a PNG."),
        (["sample", "{run}", "--out", "{file}/grid.png"], "File exists: '{file}'"),
        (["sample", "{run}", "--device", "gpu"], "--device 'gpu' cannot be used"),
        (["sample", "{run}", "-b", "DiT.width = 32"], "do not fit the model that is composed here: network."),
        (["export", "{run}", "{file}/folder"], "Not a directory"),
        (["run", "{file}", "--root", "{file}"], "Not a directory"),
        (["run", "{file}", "--device", "gpu"], "--device 'gpu' cannot be used"),
        (["check", "{file}", "--preflight", "-b", "train.accumulate = 3"], "train.accumulate = 3 does not divide"),
        (["check", "{file}", "--preflight", "-b", "AdamW.lr = 1e38"], "not finite within the first three steps"),
    ],
)
def test_odd_input_is_refused_in_a_sentence(
    words: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"run": next((root / "runs").glob("*/*/*")), "file": root / "small/plain.gin"}
    words = [word.format(**named) for word in words]
    extra = [] if "--root" in words else ["--root", str(root / "runs")]
    assert main([*words, *extra]) == 2
    assert message.format(**named) in capsys.readouterr().err
    assert len(list((root / "runs").glob("*/*/*"))) == 1


def test_run_whose_plugin_is_gone_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENEVER_PLUGINS", "=genever-loss")
    assert main(["sample", str(next((root / "runs").glob("*/*/*")))]) == 2
    assert "There is no part data.Digits: its plugin is not installed" in capsys.readouterr().err


def test_run_that_another_process_trains_is_left_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(next((root / "runs").glob("*/*/*")))
    run.update_facts(status="running")
    with _alone_in(run, Place()):
        assert main(["resume", str(run.path)]) == 2
    assert f"another process is training {run.path}. Wait until it ends" in capsys.readouterr().err
    assert run.facts["status"] == "running"
    assert main(["resume", str(run.path)]) == 0
    assert run.facts["status"] == "finished"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_device_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"cannot be used: .*On this machine there are: cpu"):
        pick_device(name)


def test_interrupted_command_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("genever.command._plugins.run", interrupted)
    assert main(["plugins"]) == 1
    assert capsys.readouterr().err == "genever plugins: interrupted\n"


def test_tied_weights_are_filled_from_the_name_they_were_saved_under(tmp_path: Path) -> None:
    tied = nn.ModuleDict({"first": nn.Linear(2, 2, bias=False), "second": nn.Linear(2, 2, bias=False)})
    tied["second"].weight = tied["first"].weight
    _fill(tied, {"first.weight": torch.eye(2)}, RunDirectory(tmp_path))
    assert tied["second"].weight.equal(torch.eye(2))


def test_weights_that_lack_some_are_refused(tmp_path: Path) -> None:
    model = toy_composition().model
    saved = dict(list(model.state_dict().items())[1:])
    with pytest.raises(UserError, match=r"do not fit the model that is composed here"):
        _fill(model, saved, RunDirectory(tmp_path))
