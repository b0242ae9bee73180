"""`tools/claims`: what it compares is there, its verdicts are right, and a row can be measured."""

import json
import math
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from genever.command import main
from genever.runs import RunDirectory
from genever.sweeps import expand, read_sweep

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools/claims"


@pytest.fixture(scope="module")
def claims() -> Any:
    return SourceFileLoader("claims", str(TOOL)).load_module()


def measure(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def test_every_stage_serves_a_claim_and_checks_without_a_mistake(
    claims: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = claims.read_plan(claims.CLAIMS)
    assert plan.needed(plan.claims) == list(plan.stages)
    claims.write_sweep(plan, plan.claims, tmp_path / "all.yaml", seeds=3, quick=False)
    assert main(["sweep", str(tmp_path / "all.yaml"), "--dry-run", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(f"{name} on local: " in said for name in plan.stages)


def test_row_brings_along_what_its_stages_start_from(claims: Any) -> None:
    plan = claims.read_plan(claims.CLAIMS)
    assert plan.needed(plan.chosen(["grpo_kl"])) == ["plain", "grpo", "grpo_kl"]


LEARNED = """\
seeds: 2
quick: {}
stages:
- {name: plain, experiment: digits/pretrain.gin}
- {name: other, experiment: digits/pretrain.gin}
- {name: reward, experiment: digits/nft.gin, after: plain}
- {name: learned, experiment: digits/nft.gin, after: {train.start: plain, Learned.run: reward}}
claims:
- {name: row, says: x, source: y, metric: fd, better: lower, method: learned, baseline: 3}
"""


def test_row_brings_along_all_that_its_stages_name(claims: Any, tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(LEARNED)
    plan = claims.read_plan(tmp_path / "claims.yaml")
    assert plan.needed(plan.claims) == ["plain", "reward", "learned"]
    claims.write_sweep(plan, plan.claims, tmp_path / "row.yaml", seeds=2, quick=False)
    found = expand(read_sweep(tmp_path / "row.yaml"))
    assert [tuple(one.parents.values()) for one in found if one.stage == "learned"] == [(0, 2), (1, 3)]


def test_run_is_mixed_with_that_of_its_seed(claims: Any, tmp_path: Path) -> None:
    (tmp_path / "claims.yaml").write_text(LEARNED.replace("method: learned", "method: {stage: plain, mixed_with: reward}"))
    plan = claims.read_plan(tmp_path / "claims.yaml")
    side = plan.claims[0].method
    assert plan.needed(plan.claims) == ["plain", "reward"]
    assert (str(side), side.again({"reward": tmp_path})) == ("plain, mixed with reward", ["--mix", f"{tmp_path}=1"])


def test_key_names_the_run_of_the_same_seed(claims: Any, tmp_path: Path) -> None:
    side = "method: {stage: plain, with: {A.scale: 2.0}, naming: {A.run: reward}}"
    (tmp_path / "claims.yaml").write_text(LEARNED.replace("method: learned", side))
    side = claims.read_plan(tmp_path / "claims.yaml").claims[0].method
    assert (str(side), side.stages) == ("plain, A.scale = 2.0, A.run = reward", {"plain", "reward"})
    assert side.again({"reward": Path("runs/a")}) == ["-b", "A.scale = 2.0", "-b", "A.run = 'runs/a'"]


def test_level_is_reached_at_the_first_step_that_has_come_up_to_it(claims: Any, tmp_path: Path) -> None:
    side = claims.Side(stage="one", metric="model/reward", reaches=0.4)
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps({"step": n, "model/reward": reward}) + "\n" for n, reward in ((10, 0.3), (20, 0.5), (30, 0.4)))
    )
    assert [claims._first_step(RunDirectory(tmp_path), "model/reward", level) for level in (0.4, 0.6)] == [20, math.inf]
    assert (side.counts, claims._numbers([20, math.inf])) == ("steps to model/reward 0.4", "never with 1 of 2")


def test_preference_is_the_share_of_samples_that_are_better(claims: Any, tmp_path: Path) -> None:
    standings = [{"run": "d/other", "won": 1, "tied": 2, "lost": 5}, {"run": "d/ours", "won": 5, "tied": 2, "lost": 1}]
    words = ["arena", "other", "--by", "@Ink()", "--num", str(claims.PREFERENCES)]
    (tmp_path / "d/ours").mkdir(parents=True)
    (tmp_path / "d/ours/claims.json").write_text(json.dumps({" ".join(words): {"standings": standings}}))
    measured = claims.Measured.__new__(claims.Measured)
    measured.root = tmp_path
    assert measured._preferred(tmp_path / "d/ours", Path("other"), "@Ink()") == 6 / 8


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("{stage: plain, preferd_to: other}", r"row\.method has preferd_to\. A side may have average_length, by,"),
        ("{stage: several}", r"row\.method is of several, which has several runs of each seed\. Only ranked_by"),
        ("{stage: plain, naming: {A.run: nothing}}", r"row\.method is of a stage 'nothing' that there is not"),
    ],
)
def test_side_that_cannot_be_measured_is_refused(claims: Any, tmp_path: Path, side: str, said: str) -> None:
    several = "- {name: several, experiment: digits/pretrain.gin, vary: {grid: {AdamW.lr: [1, 2]}}}\nclaims:"
    text = LEARNED.replace("claims:", several).replace("method: learned", f"method: {side}")
    (tmp_path / "claims.yaml").write_text(text)
    with pytest.raises(claims.Wrong, match=said):
        claims.read_plan(tmp_path / "claims.yaml")


@pytest.fixture
def halved(tmp_path: Path) -> RunDirectory:
    """A run with a checkpoint in the middle and at the end of its first round, and at the end of its third."""
    run = RunDirectory(tmp_path)
    for step, number in ((5, 0), (10, 0), (30, 2)):
        run.checkpoint(step).mkdir(parents=True)
        (run.checkpoint(step) / "index.json").write_text(json.dumps({"round": number}))
    return run


def test_round_means_the_last_checkpoint_that_it_left(claims: Any, halved: RunDirectory) -> None:
    side = claims.Side(stage="halving", metric="fd", round=1)
    assert claims._end_of_round(halved, 1) == 10
    assert (str(side), side.again({}, 10)) == ("halving, after round 1", ["--step", "10"])


def test_round_whose_checkpoint_was_not_kept_is_refused(claims: Any, halved: RunDirectory) -> None:
    with pytest.raises(
        claims.Wrong, match=r"has no checkpoint of round 2, only of \[1, 3\]\. Name one of these, or keep all"
    ):
        claims._end_of_round(halved, 2)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("{train.start: other, Learned.run: reward}", "learned descends from other and plain, each trained with seeds of"),
        ("{train.start: plain, Learned.run: rewrad}", "learned.after names rewrad, which is no stage above it."),
        ("nothing", "learned.after names nothing, which is no stage above it."),
    ],
)
def test_stage_whose_runs_would_have_no_one_seed_is_refused(claims: Any, tmp_path: Path, after: str, said: str) -> None:
    (tmp_path / "claims.yaml").write_text(LEARNED.replace("{train.start: plain, Learned.run: reward}", after))
    with pytest.raises(claims.Wrong, match=said):
        claims.read_plan(tmp_path / "claims.yaml")


@pytest.mark.parametrize(
    ("better", "method", "holds"),
    [("lower", [1.0, 2.0], True), ("lower", [1.0, 3.0], False), ("higher", [3.0, 4.0], True), ("higher", [3.0, 2.9], False)],
)
def test_claim_holds_where_every_seed_says_so(claims: Any, better: str, method: list[float], holds: bool) -> None:
    side = claims.Side(stage="one", metric="fd")
    claim = claims.Claim(name="x", says="", source="", method=side, baseline=side, better=better)
    assert claim.holds(method, [2.0, 3.0]) is holds


@pytest.mark.parametrize(("method", "holds"), [([2.02, 2.97], True), ([2.02, 3.04], False)])
def test_numbers_are_alike_within_the_tolerance(claims: Any, method: list[float], holds: bool) -> None:
    side = claims.Side(stage="one", metric="fd")
    claim = claims.Claim(name="x", says="", source="", method=side, baseline=side, better="alike", tolerance=0.011)
    assert claim.holds(method, [2.0, 3.0]) is holds


def test_rank_correlation_is_of_ranks_alone(claims: Any) -> None:
    assert claims._rank_correlation([(1.0, 10.0), (2.0, 11.0), (90.0, 12.0)]) == pytest.approx(1.0)
    assert claims._rank_correlation([(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]) == pytest.approx(-1.0)
    assert claims._rank_correlation([(1.0, 3.0)]) is None


MEASURED = {"method's": "7", "baseline's": "3", "verdict": "**not held**", "minutes": "4.0", "measured": "2026-01-01"}


@pytest.fixture
def plan(claims: Any, tmp_path: Path) -> Any:
    (tmp_path / "claims.yaml").write_text(LEARNED)
    return claims.read_plan(tmp_path / "claims.yaml")


@pytest.fixture
def page(claims: Any, plan: Any) -> str:
    """Of one row, which was measured."""
    return claims.document(plan, [{**claims.unmeasured(plan, plan.claims[0]), **MEASURED}])


def test_row_stays_until_it_is_measured_again(claims: Any, plan: Any, page: str) -> None:
    plain = claims.unmeasured(plan, plan.claims[0])
    new = {**plain, "method's": "1", "verdict": "**held**"}
    assert claims.whole(plan, [plain], page) == [{**plain, **MEASURED}]
    assert claims.whole(plan, [new], page) == [new]


@pytest.mark.parametrize(
    "changed",
    [("method: learned", "method: other"), ("better: lower", "better: higher"), ("digits/nft.gin", "digits/grpo.gin")],
)
def test_row_that_compares_another_thing_is_not_measured(
    claims: Any, tmp_path: Path, page: str, changed: tuple[str, str]
) -> None:
    (tmp_path / "claims.yaml").write_text(LEARNED.replace(*changed))
    (row,) = claims.whole(claims.read_plan(tmp_path / "claims.yaml"), [], page)
    assert (row["verdict"], row["method's"], row["minutes"]) == ("**not measured**", "–", "–")


def test_row_takes_what_the_runs_of_a_seed_took(claims: Any) -> None:
    facts = [("plain", 0, 60), ("plain", 60, 180), ("learned", 60, 240), ("learned", 240, 480), ("other", 0, 600)]
    measured = claims.Measured.__new__(claims.Measured)
    measured.rows = [SimpleNamespace(stage=stage, facts={"started": start, "ended": end}) for stage, start, end in facts]
    assert measured.minutes(["plain", "learned"], 2) == pytest.approx(5.0)


def test_page_tells_of_todays_experiments(claims: Any) -> None:
    """What was changed since is to be measured again: tools/claims --only NAME."""
    plan = claims.read_plan(claims.CLAIMS)
    page = claims.TABLE.read_text(encoding="utf-8")
    assert claims.document(plan, claims.whole(plan, [], page)) == page


def test_short_form_is_short_in_evaluations_too(claims: Any) -> None:
    side = claims.Side(stage="one", bindings={"train.evaluate_samples": 1000, "Euler.num_steps": 1})
    assert side.shortened({"train.evaluate_samples": 40, "train.steps": 2}).again({}) == [
        *("-b", "train.evaluate_samples = 40"),
        *("-b", "Euler.num_steps = 1"),
    ]


def test_row_is_measured_in_a_shortened_form(tmp_path: Path) -> None:
    done = measure("--only", "lora", "--quick", "--root", tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "`tools/claims --only lora`" in line]
    assert "held**" in row
    again = measure("--only", "lora", "--quick", "--report", "--root", tmp_path)
    assert row in again.stdout


def test_unknown_claim_is_refused_with_the_nearest(tmp_path: Path) -> None:
    refused = measure("--only", "rpea", "--root", tmp_path)
    assert refused.returncode == 2
    assert "there is no such claim. Did you mean repa" in refused.stderr.replace("'", "")


def test_report_of_what_was_never_measured_is_refused(tmp_path: Path) -> None:
    refused = measure("--only", "repa", "--report", "--root", tmp_path)
    assert refused.returncode == 2
    assert "there is no sweep" in refused.stderr
