"""What differs between runs, exactly."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.results import Comparison, compare, comparison_json, comparison_text
from genever.runs import RunDirectory

NewRun = Callable[..., RunDirectory]


def _compare(*runs: RunDirectory) -> Comparison:
    return compare([str(run.path) for run in runs], Path("runs"))


def _blocks(*runs: RunDirectory) -> list[str]:
    """Which runs, the composition, the environment, the outcome, the losses."""
    return comparison_text(_compare(*runs), width=100).split("\n\n")


def test_comparison_says_everything_that_differs(new_run: NewRun) -> None:
    one = new_run(
        {"average/fd": 10.0, "average/validation_loss_t0.125": 1.0},
        losses=(0.5, 0.25),
        frozen={"train.sampler": "@sampler.LogitNormal()", "sampler.LogitNormal.mean": "0.5"},
        versions={"torch": "2.14.0"},
        git={"commit": "a" * 40, "dirty": False},
        device="cpu",
    )
    other = new_run(
        {"average/fd": 7.5},
        losses=(0.5, 0.125),
        frozen={"optimizer.AdamW.lr": "0.01"},
        versions={"torch": "2.15.0"},
        git={"commit": "a" * 40, "dirty": True},
        device="cpu",
    )
    assert comparison_text(_compare(one, other), width=100) == (
        f"1  {one.path}  finished\n"
        f"2  {other.path}  finished\n"
        "\n"
        "composition: 3 of 6 values differ\n"
        "  train\n"
        "    sampler  1  @sampler.LogitNormal()  a.gin:7\n"
        "             2  @sampler.Uniform()      default\n"
        "  optimizer.AdamW\n"
        "    lr  1  0.001  default\n"
        "        2  0.01   a.gin:7\n"
        "  sampler.LogitNormal, only in 1\n"
        "    mean  1  0.5  a.gin:7\n"
        "\n"
        "environment: 2 of 5 facts differ\n"
        "                 1       2\n"
        "  changed files  no      yes\n"
        "  torch          2.14.0  2.15.0\n"
        f"  the same: commit {'a' * 12}, device cpu\n"
        "\n"
        "outcome:\n"
        "                 1      2   2 - 1\n"
        "  step         100    100\n"
        "  average/fd    10    7.5    -2.5\n"
        "  model/loss  0.25  0.125  -0.125\n"
        "\n"
        "losses of 2: equal to those of 1 up to step 50, then differ at step 100: model/loss is 0.125, in 1 it is 0.25"
    )


def test_value_that_only_one_run_sets_is_not_set_in_the_other(new_run: NewRun) -> None:
    blocks = _blocks(new_run(), new_run(frozen={"train.clip_norm": "1.0"}))
    assert blocks[1].endswith("  train\n    clip_norm  1  not set\n               2  1.0      a.gin:7")


def test_runs_of_one_identity_are_the_same_run(new_run: NewRun) -> None:
    runs = [new_run(identity="feed"), new_run(identity="feed", frozen={"train.log_every": "5"})]
    runs_, composition, *_ = _blocks(*runs)
    assert runs_.endswith("These are the same run: their identity is feed.")
    assert composition.startswith("composition: 1 of 6 values differ, none of which changes the result\n")
    assert comparison_json(_compare(*runs))["same_run"] is True


def test_runs_without_identity_are_not_the_same(new_run: NewRun) -> None:
    assert not _compare(new_run(identity=None), new_run(identity=None)).is_one


def test_equal_runs_are_equal_in_everything(new_run: NewRun) -> None:
    host = {"host": "a", "python": "3.11.7"}
    _, composition, environment, _, losses = _blocks(new_run(**host), new_run(**host))
    assert composition == "composition: the same, 5 values"
    assert environment == "environment: the same (python 3.11.7)"
    assert losses == "losses of 2: equal to those of 1 in all 2 lines that both logged, up to step 100"


@pytest.mark.parametrize(
    ("frozen", "reason"),
    [
        ({"train.seed": "1"}, "train.seed differs"),
        ({"train.batch_size": "1", "train.seed": "1"}, "train.seed and train.batch_size differ"),
        ({"data.Digits.side": "8"}, "data.Digits.side differs"),
        ({"paired/data.Digits.side": "8"}, "paired/data.Digits.side differs"),
    ],
)
def test_losses_on_other_data_are_not_compared(frozen: dict[str, str], reason: str, new_run: NewRun) -> None:
    assert _blocks(new_run(), new_run(frozen=frozen))[-1] == f"losses of 2: not compared with those of 1, {reason}"


def test_losses_are_compared_over_equal_stretches_alone(new_run: NewRun) -> None:
    one, other = new_run({}), new_run({}, losses=())
    other.append_metrics(100, {"model/loss": 0.375})
    assert _compare(one, other).losses[0].incomparable == "no step was logged by both"


def test_loss_that_stops_being_finite_differs_there(new_run: NewRun) -> None:
    losses = _blocks(new_run({}, losses=(1.0, 2.0)), new_run({}, losses=(1.0, float("nan"))))[-1]
    assert losses.endswith("differ at step 100: model/loss is not finite, in 1 it is 2.0")


def test_losses_that_are_both_not_finite_are_equal(new_run: NewRun) -> None:
    runs = [new_run({}, losses=(1.0, float("inf"))) for _ in range(2)]
    assert _compare(*runs).losses[0].first is None


def test_three_runs_are_compared_with_the_first(new_run: NewRun) -> None:
    runs = [
        new_run({"average/fd": fd}, frozen={"optimizer.AdamW.lr": lr}) for fd, lr in ((1.0, "1"), (2.0, "2"), (4.0, "1"))
    ]
    _, composition, _, outcome, losses = _blocks(*runs)
    assert composition.count("\n") == 4
    assert outcome.split("\n")[1].split() == ["1", "2", "3", "2", "-", "1", "3", "-", "1"]
    assert outcome.split("\n")[3].split() == ["average/fd", "1", "2", "4", "+1", "+3"]
    assert losses.count("\n") == 1


def test_failed_run_says_why(new_run: NewRun) -> None:
    assert "2 failed: no memory" in _blocks(new_run(), new_run({}, status="failed", reason="no memory"))[0]


def test_run_that_never_began_can_be_compared(new_run: NewRun) -> None:
    run = new_run({}, losses=(), status="created")
    run.metrics.unlink(missing_ok=True)
    assert "no step was logged by both" in _blocks(new_run(), run)[-1]
    assert "outcome: nothing was measured yet" in comparison_text(_compare(run, new_run({}, losses=())), width=80)


def test_json_says_it_all_and_knows_no_nan(new_run: NewRun) -> None:
    bins = {"average/validation_loss_t0.125": 1.0}
    found = comparison_json(_compare(new_run({**bins, "raw/fd": None}), new_run(frozen={"train.steps": "9"})))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["runs"][0]["results"] == {**bins, "raw/fd": None}
    assert found["composition"] == [
        {"key": "train.steps", "values": [{"value": "100", "from": "default"}, {"value": "9", "from": "a.gin:7"}]}
    ]


def test_value_with_a_comment_sign_is_read_whole(new_run: NewRun) -> None:
    run = new_run(frozen={"train.name": "'a  # b = c'"})
    [found] = _compare(new_run(), run).composition
    assert found.values[1] == ("'a  # b = c'", "a.gin:7")


def test_run_is_found_by_name(new_run: NewRun) -> None:
    one, other = new_run(), new_run(experiment="digits/other")
    found = compare([f"digits/fake/{one.path.name}", "digits/other"], Path("runs"))
    assert [row.run for row in found.rows] == [RunDirectory(Path("runs") / name) for name in (
        f"digits/fake/{one.path.name}", f"digits/other/{other.path.name}")]  # fmt: skip


def test_run_that_does_not_exist_names_the_nearest(new_run: NewRun) -> None:
    new_run()
    with pytest.raises(UserError, match=r"there is no run at 'digits/fke'.*Did you mean digits/fake\?"):
        compare(["digits/fake", "digits/fke"], Path("runs"))


def test_one_directory_twice_is_refused(new_run: NewRun) -> None:
    run = new_run()
    with pytest.raises(UserError, match=r"'digits/fake' and '.*' are one directory"):
        compare(["digits/fake", str(run.path.absolute())], Path("runs"))


def test_run_that_cannot_be_read_is_refused(new_run: NewRun) -> None:
    one, other = new_run(), new_run()
    (other.path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot be read: its run\.json is missing or broken"):
        _compare(one, other)
