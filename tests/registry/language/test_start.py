"""`train.start`: what it finds, and what a file takes over from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.language import Config, Key, UserError, check, read, resolve
from genever.parts import Catalog

Write = Callable[[dict[str, str]], None]

PRETRAIN = "experiments/digits/pretrain.gin"
TUNE = "experiments/digits/tune.gin"
START = "train.start = 'digits/pretrain'\n"


@pytest.fixture
def reader(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, good: str
) -> Callable[..., Config]:
    monkeypatch.chdir(tmp_path)

    def write_and_read(tune: str, pretrain: str = good, *bindings: str) -> Config:
        write({PRETRAIN: pretrain, TUNE: tune})
        return read(TUNE, bindings, catalog=catalog)

    return write_and_read


def finish(write: Write, run: str, text: str, status: str = "finished", created: float = 0) -> None:
    facts = {"status": status, "created": created}
    write({f"runs/{run}/resolved.gin": text, f"runs/{run}/run.json": json.dumps(facts)})


def value(config: Config, key: str) -> str:
    part, _, parameter = key.rpartition(".")
    return config.bindings[Key("", part, parameter)].source


def test_unset_slots_come_from_the_start(reader: Callable[..., Config], catalog: Catalog, good: str) -> None:
    config = reader(START + "train.steps = 3\n", good + "DiT.width = 128\nLogitNormal.std = 2.0\n")
    assert value(config, "train.backbone") == "@backbone.DiT()"
    assert value(config, "backbone.DiT.width") == "128"
    assert value(config, "train.steps") == "3"
    assert "backbone.DiT.width = 128  # start, experiments/digits/pretrain.gin:6" in resolve(config, catalog).text


def test_own_values_lie_over_those_of_the_start(reader: Callable[..., Config], good: str) -> None:
    config = reader(START + "train.steps = 3\nDiT.width = 64\n", good + "DiT.width = 128\nDiT.depth = 4\n")
    width = config.bindings[Key("", "backbone.DiT", "width")]
    assert (width.source, [old.source for old in width.replaced]) == ("64", ["128"])
    assert value(config, "backbone.DiT.depth") == "4"


def test_slot_that_is_set_takes_nothing_from_the_start(reader: Callable[..., Config], good: str) -> None:
    config = reader(START + "train.steps = 3\ntrain.sampler = @Uniform()\n", good + "LogitNormal.std = 2.0\n")
    assert Key("", "sampler.LogitNormal", "std") not in config.bindings


def test_what_is_not_inherited_stays_behind(reader: Callable[..., Config], good: str) -> None:
    config = reader(
        START + "train.steps = 3\n", good + "train.precision = 'bf16'\ntrain.aligner = @REPA()\nREPA.depth = 2\n"
    )
    assert {key.part for key in config.bindings} == {"train"}
    assert Key("", "train", "precision") not in config.bindings


def test_newest_finished_run_wins_over_the_gin_file(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    for run, width, status, created in (("b", 1, "finished", 1), ("a", 2, "finished", 2), ("c", 3, "running", 3)):
        finish(write, f"digits/pretrain/{run}", f"{good}backbone.DiT.width = {width}\n", status, created)
    config = reader(START + "train.steps = 3\n")
    assert config.start is not None
    assert config.start.run == Path("runs/digits/pretrain/a")
    assert value(config, "backbone.DiT.width") == "2"
    resolved = resolve(config, catalog)
    assert "train.start = 'digits/pretrain/a'  # experiments/digits/tune.gin:1" in resolved.text
    assert resolved.note == ""


def test_start_may_be_a_directory_or_the_name_of_one_run(reader: Callable[..., Config], write: Write, good: str) -> None:
    finish(write, "digits/pretrain/a", good, status="stopped")
    for written in ("runs/digits/pretrain/a", "digits/pretrain/a"):
        config = reader(f"train.start = '{written}'\ntrain.steps = 3\n")
        assert config.start is not None
        assert config.start.run is not None


def test_run_outside_the_root_is_frozen_the_same_from_every_folder(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(write, "../old/digits/pretrain/a", good)
    first = resolve(reader("train.start = 'old/digits/pretrain/a'\ntrain.steps = 3\n"), catalog)
    monkeypatch.chdir("experiments")
    Path("digits/tune.gin").write_text("train.start = '../old/digits/pretrain/a'\ntrain.steps = 3\n")
    again = resolve(read("digits/tune.gin", catalog=catalog), catalog)
    assert f"train.start = '{Path.cwd().parent}/old/digits/pretrain/a'" in again.text
    assert again.identity == first.identity


def test_run_below_the_root_is_frozen_by_its_name_however_it_is_written(
    reader: Callable[..., Config], write: Write, good: str
) -> None:
    finish(write, "digits/pretrain/a", good)
    start = reader("train.start = 'runs/../runs/digits/pretrain/a'\ntrain.steps = 3\n").start
    assert start is not None
    assert start.pinned == "digits/pretrain/a"


def test_start_that_has_not_run_is_noted(reader: Callable[..., Config], catalog: Catalog) -> None:
    resolved = resolve(reader(START + "train.steps = 3\n"), catalog)
    assert resolved.start is not None
    assert resolved.start.run is None
    assert resolved.note == (
        "There is no finished run of 'digits/pretrain' yet. Run it first: genever run experiments/digits/pretrain.gin"
    )


def test_start_that_has_not_run_is_a_warning(reader: Callable[..., Config], problems_of: Callable[[str], list[str]]) -> None:
    reader(START + "train.steps = 3\n")
    assert problems_of(TUNE) == [
        f"{TUNE}:1: warning: train.start = 'digits/pretrain': there is no finished run of that name yet. "
        f"Run {PRETRAIN} first."
    ]


def test_unknown_start_names_the_nearest(reader: Callable[..., Config], problems_of: Callable[[str], list[str]]) -> None:
    reader("train.start = 'digits/pretrian'\ntrain.steps = 3\n")
    assert problems_of(TUNE) == [
        f"{TUNE}:1: error: train.start = 'digits/pretrian' is neither a finished run nor an experiment. "
        "Did you mean 'digits/pretrain'?"
    ]


@pytest.mark.parametrize("known", ["experiments/alone.gin", "runs/alone/a/run.json"])
def test_unknown_start_names_an_experiment_of_one_word(
    known: str, reader: Callable[..., Config], write: Write, problems_of: Callable[[str], list[str]]
) -> None:
    write({known: "{}"})
    reader("train.start = 'alon'\ntrain.steps = 3\n")
    assert problems_of(TUNE)[0].endswith("Did you mean 'alone'?")


def test_start_of_a_start_is_followed(reader: Callable[..., Config], write: Write, good: str) -> None:
    write({"experiments/digits/first.gin": good + "DiT.width = 7\n"})
    config = reader(START + "train.steps = 3\n", "train.start = 'digits/first'\ntrain.steps = 1\n")
    assert value(config, "backbone.DiT.width") == "7"


def test_starts_in_a_circle_are_refused(reader: Callable[..., Config], problems_of: Callable[[str], list[str]]) -> None:
    reader(START + "train.steps = 3\n", "train.start = 'digits/tune'\ntrain.steps = 1\n")
    assert problems_of(TUNE) == [
        f"{TUNE}:1: error: train.start = 'digits/pretrain' has errors of its own, such as {PRETRAIN}:1: Experiments start "
        "from each other in a circle: digits/tune -> digits/pretrain -> digits/tune. One must start from scratch."
    ]


@pytest.mark.parametrize("written", ["", "..", "a" * 300, "digits/\\0", "/", "~"])
def test_odd_start_is_refused(written: str, reader: Callable[..., Config], catalog: Catalog) -> None:
    with pytest.raises(UserError, match="is neither a finished run nor an experiment"):
        resolve(reader(f"train.start = '{written}'\ntrain.steps = 3\n"), catalog)


@pytest.mark.parametrize("facts", ["", "[]", "{}", "{", '{"status": "finished", "created": "x"}'])
def test_illegible_run_is_passed_over(facts: str, reader: Callable[..., Config], write: Write, good: str) -> None:
    write({"runs/digits/pretrain/a/resolved.gin": good, "runs/digits/pretrain/a/run.json": facts})
    start = reader(START + "train.steps = 3\n").start
    assert start is not None
    assert start.run is None


def test_frozen_file_is_read_without_its_start(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    finish(write, "digits/tune/a", good + "train.start = 'gone/gone'\n")
    config = read("runs/digits/tune/a/resolved.gin", catalog=catalog)
    assert not config.problems


@pytest.mark.parametrize("num", [5_000, 100_000])
def test_frozen_file_is_read_however_long_a_value_is(
    num: int, reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    finish(write, "digits/pretrain/a", f"{good}data.Digits.split = '{'x' * num}'\n")
    assert len(value(reader(START + "train.steps = 3\n"), "data.Digits.split")) == num + 2
    assert not read("runs/digits/pretrain/a/resolved.gin", catalog=catalog).problems


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("experiments/digits/a.gin", "digits/a"),
        ("experiments/a.gin", "a"),
        ("x/experiments/old/experiments/shapes/deep/a.gin", "shapes/deep/a"),
        ("folder/a.gin", "folder/a"),
        ("experiments/sweeps/../digits/a.gin", "digits/a"),
        ("folder/other/../a.gin", "folder/a"),
    ],
)
def test_experiment_is_named_after_its_place(path: str, name: str, catalog: Catalog) -> None:
    assert read(path, catalog=catalog).name == name


READS = "train.metrics = [@Agreement()]\nAgreement.run = 'digits/pretrain'\n"


def test_run_that_a_part_names_is_frozen_by_its_own_name(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    finish(write, "digits/pretrain/a", good)
    resolved = resolve(reader(good + READS), catalog)
    assert "metric.Agreement.run = 'digits/pretrain/a'" in resolved.text
    reads = json.loads(resolved.json)["reads"]
    assert reads == {"metric.Agreement.run": {"written": "digits/pretrain", "run": "digits/pretrain/a"}}
    assert resolved.start is None


def test_run_that_a_part_names_and_that_is_not_there_yet_is_a_warning(
    reader: Callable[..., Config], catalog: Catalog, problems_of: Callable[[str], list[str]], good: str
) -> None:
    resolved = resolve(reader(good + READS), catalog)
    assert "Run it first: genever run experiments/digits/pretrain.gin" in resolved.note
    (warning,) = [problem for problem in problems_of(TUNE) if "Agreement.run" in problem]
    assert warning == (
        f"{TUNE}:{len(good.splitlines()) + 2}: warning: metric.Agreement.run = 'digits/pretrain': "
        f"there is no finished run of that name yet. Run {PRETRAIN} first."
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("'digits/pretain'", "is neither a finished run nor an experiment. Did you mean 'digits/pretrain'?"),
        ("3", "wants the name of a run in quotes or None, not 3"),
    ],
)
def test_name_of_a_run_that_means_nothing_is_refused(
    reader: Callable[..., Config], problems_of: Callable[[str], list[str]], good: str, written: str, said: str
) -> None:
    reader(good + READS.replace("'digits/pretrain'", written))
    assert any(said in problem for problem in problems_of(TUNE))


GUIDED = START + "train.steps = 3\ntrain.trackers = [@Any()]\nAny.guidance = @Away()\n"
DROPPING = "train.conditioner = @Dropping()\n"
REFUSED = "guidance.Away needs"


def test_ability_that_a_start_had_is_there(reader: Callable[..., Config], catalog: Catalog, good: str) -> None:
    assert not told(reader(GUIDED, good + DROPPING), catalog)
    never = reader(GUIDED + DROPPING + "Dropping.dropout = 0\n", good + DROPPING + "Dropping.dropout = 0\n")
    (refused,) = told(never, catalog)
    assert "and no stage that it goes back to had one" in refused


def test_ability_that_the_start_of_a_start_had_is_there(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    finish(write, "digits/first/a", good + DROPPING)
    finish(write, "digits/pretrain/b", good + "train.start = 'digits/first/a'\n")
    assert not told(reader(GUIDED), catalog)


def test_ability_of_a_start_that_is_gone_is_not_missed(
    reader: Callable[..., Config], write: Write, catalog: Catalog, good: str
) -> None:
    finish(write, "digits/pretrain/b", good + "train.start = 'gone/gone'\n")
    assert not told(reader(GUIDED), catalog)
    finish(write, "digits/pretrain/b", good + "train.start = 'digits/pretrain/b'\n")
    assert not told(reader(GUIDED), catalog)


def told(config: Config, catalog: Catalog) -> list[str]:
    """What is said of the part that needs something of a start."""
    return [problem.message for problem in check(config, catalog) if problem.message.startswith(REFUSED)]
