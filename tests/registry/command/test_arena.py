"""Runs compared by the command."""

import json
import shutil
from pathlib import Path

import pytest
from genever.arena import Answers
from genever.command import main
from genever.runs import RunDirectory

BINDINGS = ["-b", "train.metrics = [@metric.Reward()]", "-b", "metric.Reward.reward = @Ink()"]


QUIET = "train.sample_images = 0\ntrain.validate_samples = 0\nAdamW.lr = 0.1\n"


@pytest.fixture(scope="module")
def root(small: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, and another that got no further than the first of them."""
    folder = tmp_path_factory.mktemp("arena")
    (folder / "small").mkdir()
    (folder / "small/one.gin").write_text(f"{small}train.steps = 2\ntrain.save_every = 1\n{QUIET}")
    assert main(["run", str(folder / "small/one.gin"), "--root", str(folder / "runs")]) == 0
    run = next((folder / "runs/small/one").iterdir())
    other = RunDirectory(folder / "runs/small/other" / run.name)
    shutil.copytree(run, other.path)
    shutil.rmtree(other.checkpoint(2))
    other.update_facts(experiment="small/other")
    return folder


def arena(root: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["arena", *words, "--root", str(root / "runs")])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_reward_rates_runs_as_the_metric_of_that_reward_does(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ("small/one", "small/other", "--num", "30", "--json")
    _, by, _ = arena(root, *runs, "--by", "@Ink()", capsys=capsys)
    _, metric, _ = arena(root, *runs, *BINDINGS, "--metric", "reward", capsys=capsys)
    ours, theirs = json.loads(by), json.loads(metric)
    assert (ours["comparisons"], ours["by"], theirs["by"]) == (30, "Ink", "the highest reward of each sample")
    assert ours["standings"] == theirs["standings"]
    assert ours["standings"][0]["tied"] < 30
    name = next((root / "runs/small/one").iterdir()).name
    assert {one["run"] for one in ours["standings"]} == {f"small/one/{name}", f"small/other/{name}"}


def test_answers_of_people_are_rated_whenever_asked(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = arena(root, "small/one", "small/other", capsys=capsys)
    assert (code, "nobody has compared these runs yet" in err) == (2, True)
    name = next((root / "runs/small/one").iterdir()).name
    names = [f"small/one/{name}@2", f"small/other/{name}@1"]
    answers = Answers(root / "runs/arena.jsonl")
    for number, answer in enumerate(("left", "left", "tie")):
        answers.add(names[1], names[0], number, answer)
    code, out, _ = arena(root, "small/one", "small/other", capsys=capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[3:5]] == ["small/other", "small/one"]
    assert out.startswith("3 comparisons by people, in ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small/one"], "'small/one' has nobody to be compared with. Name two runs or more."),
        (["small/one", "small/one"], "which is named twice. Name runs that differ."),
        (["small/one", "small/other", "--block", "2"], "--block says how --metric judges, which is not given."),
        (["small/one", "small/other", "--num", "0"], "--num is 0 and --block is 1; give at least one of each."),
        (["small/one", "small/other", "--by", "Ink"], "--by is 'Ink', which is no part. Write it as in a gin file"),
        (["small/one", "small/other", "--by", "@Inc()"], "there is no part Inc. Did you mean reward.Ink?"),
        (["small/one", "small/other", "--by", "@Euler()"], "train.judge wants a part of the slot"),
        (["small/one", "small/other", "--metric", "fd"], "--metric is 'fd', which no metric of train.metrics measures."),
        (["small/one", "small/other", "--label", "1", "--caption", "a"], "--label and --caption both say what to ask for."),
        (["small/one", "small/other", "--by", "@VerifiedCaption()"], "verifiable"),
    ],
)
def test_wrong_input_is_said_in_a_sentence(
    words: list[str], message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = arena(root, *words, capsys=capsys)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
