"""Every variant of a sweep is checked before the first is submitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.errors import UserError
from genever.parts import Catalog
from genever.runs import create_run
from genever.sweeps import Prepared, prepare, read_sweep

Write = Callable[..., Path]
Prepare = Callable[[str], Prepared]
HEAD = "experiment: ../digits/pretrain.gin\n"
STAGES = (
    "stages:\n"
    "- {name: base, experiment: ../digits/pretrain.gin, vary: {grid: {DiT.width: [16, 32]}}}\n"
    "- {name: later, experiment: ../digits/later.gin, vary: {grid: {AdamW.lr: [1e-3, 1e-4]}}}\n"
)


@pytest.fixture
def prepared(sweep_file: Write, catalog: Catalog) -> Prepare:
    return lambda text: prepare(read_sweep(sweep_file(text)), root=Path("runs"), catalog=catalog)


@pytest.fixture
def mistakes(prepared: Prepare) -> Callable[[str], list[str]]:
    def find(text: str) -> list[str]:
        with pytest.raises(UserError) as caught:
            prepared(text)
        return [line.removeprefix("experiments/sweeps/a.yaml:") for line in str(caught.value).split("\n")[1:]]

    return find


def finish(prepared: Prepared, number: int, created: float = 1.0) -> None:
    variant = prepared.plans[number].variant
    resolved = prepared.composer.freeze(prepared.sweep.stage(variant.stage).experiment, variant.bindings)
    create_run(resolved, Path("runs"), {}).update_facts(status="finished", created=created)


def test_binding_that_does_not_exist_is_refused_at_its_line(mistakes: Callable[[str], list[str]]) -> None:
    assert mistakes(HEAD + "vary:\n  grid:\n    AdamW.lrr: [1, 2]\n") == [
        "4: error: optimizer.AdamW has no parameter lrr. Did you mean lr? "
        "It has: lr, betas, weight_decay, eps, schedule, fused."
    ]


def test_wrong_value_is_refused_with_how_many_runs_have_it(mistakes: Callable[[str], list[str]]) -> None:
    found = mistakes(HEAD + "vary: {seeds: 3, grid: {DiT.width: [16, wide]}}\nfixed: {train.steps: 0}\n")
    assert found == [
        "2: error: backbone.DiT.width wants a whole number, not the text 'wide'. (in 3 of 6 runs)",
        "3: error: train.steps wants a whole number >= 1, not 0.",
    ]


def test_all_mistakes_of_all_stages_are_said_at_once(mistakes: Callable[[str], list[str]]) -> None:
    found = mistakes(STAGES.replace("AdamW.lr:", "AdamW.lr2:").replace("[16, 32]", "[16, x]"))
    assert [line[:2] for line in found] == ["2:", "3:"]


def test_key_that_no_run_of_a_stage_uses_is_a_mistake(mistakes: Callable[[str], list[str]]) -> None:
    assert mistakes(HEAD + "vary: {grid: {UViT.width: [16, 32]}}\n") == [
        "2: error: backbone.UViT.width has no effect: train does not reach backbone.UViT. Use it or leave it out."
    ]


def test_key_that_some_runs_use_is_fine_and_the_others_are_one_run(prepared: Prepare) -> None:
    text = "vary: {grid: {train.sampler: ['@Uniform()', '@LogitNormal()'], LogitNormal.std: [0.5, 1.0]}}\n"
    identities = [plan.identity for plan in prepared(HEAD + text).plans]
    assert (len(identities), len(set(identities))) == (4, 3)
    assert identities[0] == identities[1]


def test_key_under_two_names_is_a_mistake(mistakes: Callable[[str], list[str]]) -> None:
    found = mistakes(HEAD + "vary:\n  grid:\n    AdamW.lr: [1, 2]\n    optimizer.AdamW.lr: [3, 4]\n")
    assert found == [
        "5: error: optimizer.AdamW.lr was already set to 1 at experiments/sweeps/a.yaml:4. Leave one of the two out."
    ]


def test_experiment_with_mistakes_of_its_own_is_refused(folder: Path, mistakes: Callable[[str], list[str]]) -> None:
    (folder / "experiments/digits/pretrain.gin").write_text("train.stepz = 3\n")
    assert any("experiments/digits/pretrain.gin:1: error: train has no parameter stepz" in line for line in mistakes(HEAD))


def test_later_stage_is_checked_against_what_it_will_start_from(mistakes: Callable[[str], list[str]]) -> None:
    found = mistakes(STAGES.replace("AdamW.lr: [1e-3, 1e-4]", "DiT.patch: [4, x]"))
    assert found == ["3: error: backbone.DiT.patch wants a whole number, not the text 'x'. (in 2 of 6 runs)"]


def test_run_that_finished_is_found_again(prepared: Prepare) -> None:
    text = HEAD + "vary: {seeds: 2}\n"
    finish(prepared(text), 1)
    found = prepared(text).plans
    assert [plan.run is not None for plan in found] == [False, True]
    assert (found[1].element.run or "").startswith("digits/pretrain/")


def test_start_stays_what_it_was_when_another_run_finishes(prepared: Prepare) -> None:
    base = prepared(HEAD + "vary: {seeds: 2}\n")
    finish(base, 0)
    first = prepared("experiment: ../digits/later.gin\n")
    first.write()
    finish(base, 1, created=2.0)
    assert prepared("experiment: ../digits/later.gin\n").plans[0].identity == first.plans[0].identity


def test_start_that_has_not_run_is_said(prepared: Prepare) -> None:
    assert prepared("experiment: ../digits/later.gin\n").missing == (
        "There is no finished run of 'digits/pretrain' yet. Run it first: genever run experiments/digits/pretrain.gin"
    )


def test_name_of_another_files_sweep_is_refused(prepared: Prepare, sweep_file: Write, catalog: Catalog) -> None:
    prepared(HEAD).write()
    with pytest.raises(UserError) as caught:
        prepare(read_sweep(sweep_file(HEAD + "name: a\n", "b")), root=Path("runs"), catalog=catalog)
    assert str(caught.value) == (
        "runs/sweeps/a is the sweep of experiments/sweeps/a.yaml. "
        "Give experiments/sweeps/b.yaml a name of its own, such as name: other."
    )


JUDGED = (
    "stages:\n"
    "- {name: base, experiment: ../digits/pretrain.gin, vary: {seeds: 2}}\n"
    "- {name: reward, experiment: ../digits/scores.gin}\n"
    "- {name: judged, experiment: ../digits/judged.gin, after: {train.start: base, Learned.run: reward}}\n"
)


def test_run_that_a_part_names_need_not_be_there_yet(prepared: Prepare) -> None:
    found = prepared(JUDGED)
    assert (found.missing, found.warnings) == ("", ())
    assert [plan.identity is None for plan in found.plans] == [False, False, True, True, True, True]
    assert [plan.element.parents for plan in found.plans[4:]] == [
        {"train.start": base, "Learned.run": reward} for base, reward in ((0, 2), (1, 3))
    ]


def test_stage_takes_over_the_name_of_a_run_that_is_not_there_yet(prepared: Prepare) -> None:
    found = prepared(
        "stages:\n"
        "- {name: base, experiment: ../digits/pretrain.gin}\n"
        "- {name: upscale, experiment: ../digits/upscale.gin, after: {LowResolution.base: base}}\n"
        "- {name: later, experiment: ../digits/later.gin}\n"
    )
    assert [dict(plan.element.parents) for plan in found.plans] == [{}, {"LowResolution.base": 0}, {"train.start": 1}]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("AdamW.lr", "optimizer.AdamW.lr is no name of a run, but 'after' puts one there. Write a key that is, such as "
                     "train.start."),
        ("metric.Reward.name", "metric.Reward.name is no name of a run, but 'after' puts one there. Write a key that is, "
                               "such as train.start."),
        ("Lerned.run", "Lerned.run: there is no part Lerned. Did you mean reward.Learned?"),
        ("Learned.rum", "reward.Learned has no parameter rum. Did you mean run? It has: run."),
        ("LowResolution.base", "conditioner.LowResolution.base has no effect: train does not reach "
                               "conditioner.LowResolution. Use it or leave it out."),
        ("reward.Learned.run", "reward.Learned.run was already set to 'digits/scores/new-2' at "
                               "experiments/sweeps/a.yaml:4. Leave one of the two out."),
    ],
)  # fmt: skip
def test_key_that_names_no_run_is_refused_where_it_stands(
    key: str, message: str, mistakes: Callable[[str], list[str]]
) -> None:
    found = mistakes(JUDGED.replace("Learned.run: reward}", f"Learned.run: reward,\n   {key}: base}}"))
    assert found[0].startswith(f"5: error: {message}")


def test_run_that_a_part_names_stays_what_it_was_when_another_finishes(prepared: Prepare) -> None:
    base = prepared(HEAD + "vary: {seeds: 2}\n")
    finish(base, 0)
    judged = "experiment: ../digits/judged.gin\nfixed: {Learned.run: digits/pretrain, AdamW.lr: 1e-3}\n"
    first = prepared(judged)
    first.write()
    finish(base, 1, created=2.0)
    again = prepared(judged)
    assert (again.plans[0].identity, again.warnings) == (first.plans[0].identity, ())


def test_wrong_resource_is_refused_at_its_line(sweep_file: Write, catalog: Catalog) -> None:
    with pytest.raises(
        UserError, match=r"experiments/sweeps/a\.yaml:3: there is no setting 'minuts'\. Did you mean minutes\?"
    ):
        prepare(read_sweep(sweep_file(HEAD + "resources:\n  minuts: 20\n")), root=Path("runs"), catalog=catalog)


def test_stages_that_wait_for_each_other_must_share_a_cluster(prepared: Prepare) -> None:
    with pytest.raises(UserError) as caught:
        prepared(STAGES.replace("later.gin,", "later.gin, on: slurm,"))
    assert str(caught.value) == (
        "experiments/sweeps/a.yaml:3: 'later' runs on slurm, but 'base', which it waits for, on local. "
        "Name one cluster for both with 'on'."
    )


SEARCH = HEAD + "search: {{metric: {metric}, num: 4, over: {{AdamW.lr: {{log_uniform: [1e-4, 1e-1]}}, {more}}}}}\n"


def test_search_is_checked_at_its_ends_and_choices(mistakes: Callable[[str], list[str]]) -> None:
    text = SEARCH.format(metric="validation_loss", more="DiT.depth: {int: [0, 4]}, DiT.width: {choice: [16, wide]}")
    assert sorted(line.partition(" wants")[0] for line in mistakes(text)) == [
        "2: error: backbone.DiT.depth",
        "2: error: backbone.DiT.width",
    ]


def test_metric_that_nothing_measures_is_refused(mistakes: Callable[[str], list[str]]) -> None:
    assert mistakes(SEARCH.format(metric="validation_los", more="")) == [
        "2: error: search.metric: nothing here measures 'validation_los'. Did you mean validation_loss? "
        "Measured are: validation_loss."
    ]
