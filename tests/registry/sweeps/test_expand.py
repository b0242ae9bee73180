"""What a sweep file asks for: which runs, in which order, and what never changes them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from genever.language import Place
from genever.launch import read_profile
from genever.sweeps import Search, Variant, expand, read_sweep
from genever.sweeps._distributions import Choice, Distribution, Int, LogUniform, Normal, Uniform
from genever.sweeps._search import Trial, measured, probes, propose
from genever.sweeps._sweep import Link, Setting, Stage, Sweep
from hypothesis import given
from hypothesis import strategies as st

Write = Callable[[str], Path]
HEAD = "experiment: ../digits/pretrain.gin\n"
QUANTILES = st.floats(min_value=1e-12, max_value=1 - 1e-12)


@pytest.fixture
def variants(sweep_file: Write) -> Callable[[str], tuple[Variant, ...]]:
    return lambda text: expand(read_sweep(sweep_file(HEAD + text)))


def bindings(variants: tuple[Variant, ...]) -> list[tuple[str, ...]]:
    return [variant.bindings for variant in variants]


def test_sweep_without_variation_is_one_run(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    assert bindings(variants("fixed: {train.steps: 5}\n")) == [("train.steps = 5",)]


def test_grid_is_the_product_of_its_lists_the_first_slowest(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    found = variants("vary: {grid: {a.a: [1, 2], b.b: [x, '@B()', 5.5]}}\n")
    assert bindings(found) == [(f"a.a = {a}", f"b.b = {b}") for a, b in product((1, 2), ("'x'", "@B()", "5.5"))]
    assert [variant.number for variant in found] == list(range(6))


def test_zip_pairs_its_lists(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    assert bindings(variants("vary: {zip: {a.a: [1, 2], b.b: [3, 4]}}\n")) == [
        ("a.a = 1", "b.b = 3"),
        ("a.a = 2", "b.b = 4"),
    ]


def test_list_names_each_run(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    assert bindings(variants("vary: {list: [{a.a: 1}, {b.b: 2, c.c: 3}]}\n")) == [("a.a = 1",), ("b.b = 2", "c.c = 3")]


def test_seeds_are_counted_or_listed(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    assert bindings(variants("vary: {seeds: 2}\n")) == [("train.seed = 0",), ("train.seed = 1",)]
    assert bindings(variants("vary: {seeds: [7, 3]}\n")) == [("train.seed = 7",), ("train.seed = 3",)]


def test_blocks_multiply_in_the_order_of_the_file(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    found = bindings(variants("vary: {seeds: 2, zip: {a.a: [1, 2], b.b: [3, 4]}, grid: {c.c: [5]}}\n"))
    assert found[1] == ("train.seed = 0", "a.a = 2", "b.b = 4", "c.c = 5")
    assert found[2] == ("train.seed = 1", "a.a = 1", "b.b = 3", "c.c = 5")


BLOCKS = st.dictionaries(st.sampled_from(("grid", "zip", "seeds", "random")), st.integers(1, 4), min_size=1, max_size=4)


@given(sizes=BLOCKS)
def test_runs_are_as_many_as_the_blocks_multiply_to_and_all_differ(sizes: dict[str, int]) -> None:
    axes = {
        "grid": lambda num: f"{{a.a: {list(range(num))}}}",
        "zip": lambda num: f"{{b.b: {list(range(num))}, c.c: {list(range(num))}}}",
        "seeds": str,
        "random": lambda num: f"{{num: {num}, over: {{d.d: {{normal: [0, 1]}}}}}}",
    }
    vary = "".join(f"  {block}: {axes[block](num)}\n" for block, num in sizes.items())
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x.gin").touch()
        Path(folder, "x.yaml").write_text(f"experiment: x.gin\nvary:\n{vary}")
        found = bindings(expand(read_sweep(Path(folder, "x.yaml"))))
    assert len(set(found)) == len(found) == math.prod(sizes.values())
    slowest = next(iter(sizes))
    assert len({one[0] for one in found[: len(found) // sizes[slowest]]}) == 1


@pytest.mark.parametrize(
    ("yaml", "gin"),
    [
        ("1e-3", "0.001"),
        ("on", "'on'"),
        ("yes", "'yes'"),
        ("true", "True"),
        ("False", "False"),
        ("null", "None"),
        ("None", "None"),
        ("'1'", "'1'"),
        ("2026-01-01", "'2026-01-01'"),
        ("'@a/B()'", "@a/B()"),
        ("'%WIDTH'", "%WIDTH"),
        ("'(0.9, 0.95)'", "(0.9, 0.95)"),
        ("['@A()', 1]", "[@A(), 1]"),
        ("{x: '@A()', 2: [1]}", "{'x': @A(), 2: [1]}"),
        ('"it\'s"', '"it\'s"'),
        ('"two\\nlines"', "'two\\nlines'"),
    ],
)
def test_value_becomes_gin(yaml: str, gin: str, variants: Callable[[str], tuple[Variant, ...]]) -> None:
    assert bindings(variants(f"fixed: {{a.a: {yaml}}}\n")) == [(f"a.a = {gin}",)]


RANDOM = "vary: {{random: {{num: {num}, seed: {seed}, over: {{{over}}}}}}}\n"
LR, DEPTH = "AdamW.lr: {log_uniform: [1e-4, 1e-2]}", "DiT.depth: {int: [1, 9]}"


def test_random_draws_the_same_again_and_other_runs_under_another_seed(
    variants: Callable[[str], tuple[Variant, ...]],
) -> None:
    draw = lambda seed: bindings(variants(RANDOM.format(num=20, seed=seed, over=LR)))  # noqa: E731
    assert draw(0) == draw(0)
    assert not set(draw(0)) & set(draw(1))


def test_random_keeps_the_first_when_more_are_drawn(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    few = bindings(variants(RANDOM.format(num=5, seed=0, over=LR)))
    assert bindings(variants(RANDOM.format(num=50, seed=0, over=LR)))[:5] == few


def test_random_keeps_a_key_as_it_was_when_another_joins(variants: Callable[[str], tuple[Variant, ...]]) -> None:
    one = bindings(variants(RANDOM.format(num=9, seed=0, over=LR)))
    two = bindings(variants(RANDOM.format(num=9, seed=0, over=f"{DEPTH}, {LR}")))
    assert [found[1:] for found in two] == one


@given(quantile=QUANTILES, low=st.floats(-1e6, 1e6), width=st.floats(1e-6, 1e6))
def test_uniform_stays_within_its_bounds(quantile: float, low: float, width: float) -> None:
    assert low <= float(Uniform(low, low + width).at(quantile)) <= low + width


@given(quantile=QUANTILES, low=st.floats(1e-9, 1e3), factor=st.floats(1.01, 1e6))
def test_log_uniform_stays_within_its_bounds(quantile: float, low: float, factor: float) -> None:
    assert low <= float(LogUniform(low, low * factor).at(quantile)) <= low * factor


@given(quantile=QUANTILES, low=st.integers(-50, 50), width=st.integers(1, 100))
def test_int_stays_within_its_bounds(quantile: float, low: int, width: int) -> None:
    assert low <= int(Int(low, low + width).at(quantile)) <= low + width


@pytest.mark.parametrize(
    ("distribution", "middle", "quarter"),
    [
        (Uniform(0.0, 2.0), "1.0", "0.5"),
        (LogUniform(1e-4, 1.0), "0.01", "0.001"),
        (Normal(3.0, 1.0), "3.0", "2.32551"),
        (Int(1, 4), "3", "2"),
        (Choice(("a", "b", "c")), "b", "a"),
    ],
)
def test_distribution_has_its_quantiles(distribution: Distribution, middle: str, quarter: str) -> None:
    assert (distribution.at(0.5), distribution.at(0.25)) == (middle, quarter)


def test_later_stage_branches_from_each_element(sweep_file: Write) -> None:
    stages = (
        "stages:\n"
        "- {name: base, experiment: ../digits/pretrain.gin, vary: {seeds: 2}}\n"
        "- {name: later, experiment: ../digits/later.gin, vary: {grid: {AdamW.lr: [1, 2]}}}\n"
        "- {name: other, experiment: ../digits/later.gin, after: base}\n"
        "- {name: alone, experiment: ../digits/pretrain.gin, after: null}\n"
    )
    found = [(variant.stage, variant.parents.get("train.start")) for variant in expand(read_sweep(sweep_file(stages)))]
    later = [("later", 0), ("later", 0), ("later", 1), ("later", 1)]
    assert found == [("base", None), ("base", None), *later, ("other", 0), ("other", 1), ("alone", None)]


def test_stage_after_several_pairs_those_that_descend_from_the_same(sweep_file: Write) -> None:
    stages = (
        "stages:\n"
        "- {name: base, experiment: ../digits/pretrain.gin, vary: {seeds: 2}}\n"
        "- {name: reward, experiment: ../digits/scores.gin, vary: {grid: {AdamW.lr: [1, 2]}}}\n"
        "- {name: judged, experiment: ../digits/judged.gin, after: {train.start: base, Learned.run: reward}}\n"
        "- {name: other, experiment: ../digits/scores.gin, after: null, vary: {seeds: 2}}\n"
        "- {name: all, experiment: ../digits/judged.gin, after: {train.start: judged, Learned.run: other}}\n"
    )
    found = expand(read_sweep(sweep_file(stages)))
    pairs = {name: [tuple(one.parents.values()) for one in found if one.stage == name] for name in ("judged", "all")}
    assert pairs["judged"] == [(0, 2), (0, 3), (1, 4), (1, 5)]
    assert pairs["all"] == [(judged, other) for judged in (6, 7, 8, 9) for other in (10, 11)]
    assert [one.bindings for one in found if one.stage == "judged"] == [()] * 4


#: Of each stage, how many points it has, and the places of the stages that it comes after.
FORESTS = st.lists(st.tuples(st.integers(1, 3), st.sets(st.integers(0, 3), max_size=2)), min_size=1, max_size=5)


@given(forest=FORESTS)
def test_stage_after_several_is_their_natural_join(forest: list[tuple[int, set[int]]]) -> None:
    place, stages = Place("x", 1), list[Stage]()
    for here, (num, above) in enumerate(forest):
        links = tuple(Link(f"b.b{n}", str(n), place) for n in above if n < here)
        axis = tuple((Setting("a.a", str(n), place),) for n in range(num))
        stages.append(Stage(name=str(here), experiment=Path("x"), place=place, after=links, axes=(axis,)))
    sweep = Sweep(path=Path("x"), name="x", text="", stages=tuple(stages))
    found = expand(sweep)
    for stage in stages:
        there = [tuple(one.parents.values()) for one in found if one.stage == stage.name]
        assert sorted(there) == sorted(joined(found, stage) * stage.num_points)
        assert len(there) == sweep.sizes[stage.name]


def joined(found: tuple[Variant, ...], stage: Stage) -> list[tuple[int, ...]]:
    """The variants of the stages above that agree on all that they descend from."""
    above = [[one.number for one in found if one.stage == link.stage] for link in stage.after]
    pairs = [(chosen, set().union(*(lineage(found, number).items() for number in chosen))) for chosen in product(*above)]
    return [chosen for chosen, members in pairs if len(members) == len(dict(members))]


def lineage(found: tuple[Variant, ...], number: int) -> dict[str, int]:
    """The variant of each stage that one descends from."""
    above = [lineage(found, parent) for parent in found[number].parents.values()]
    return {stage: one for other in above for stage, one in other.items()} | {found[number].stage: number}


def test_resources_reach_the_profile_as_they_are_written(sweep_file: Write) -> None:
    lines = ["echo a, b", '[ -d "x\\y" ]', "echo it's # all", "yes", "ключ"]
    text = "resources:\n  interface: null\n  slurm: {account: '007'}\n  setup:\n  - echo a, b\n"
    text += "".join(f"  - '{line.replace(chr(39), 2 * chr(39))}'\n" for line in lines[1:])
    (stage,) = read_sweep(sweep_file(HEAD + text)).stages
    profile = read_profile("local", stage.overrides)
    assert (profile.interface, profile.slurm.account, profile.setup) == (None, "007", lines)


def test_stage_takes_its_resources_from_the_file_unless_it_says_otherwise(sweep_file: Write) -> None:
    text = (
        "on: big\nlimit: 4\nresources: {minutes: 20, slurm: {partition: long}}\nstages:\n"
        "- {name: base, experiment: ../digits/pretrain.gin}\n"
        "- {name: later, experiment: ../digits/later.gin, on: small, limit: 2, resources: {minutes: 5}}\n"
    )
    base, later = read_sweep(sweep_file(text)).stages
    assert (base.profile, list(base.overrides)) == ("big", ["minutes=20", 'slurm.partition="long"', "limit=4"])
    assert (later.profile, list(later.overrides)) == ("small", [*base.overrides, "minutes=5", "limit=2"])
    assert later.overrides["limit=2"] == "experiments/sweeps/a.yaml:6"


SEARCH = Search(
    metric="fd",
    place=Place("x", 1),
    num=30,
    seed=0,
    over={"a.a": LogUniform(1e-4, 1.0), "b.b": Int(1, 8), "c.c": Choice(("1", "[2]"))},
    places=dict.fromkeys(("a.a", "b.b", "c.c"), Place("x", 1)),
)


def drawn(trials: list[Trial]) -> dict[str, str]:
    return {setting.key: setting.text for setting in propose(SEARCH, "minimize", trials)}


def searched(num: int) -> list[Trial]:
    """Trials whose best lies at b.b = 5."""
    trials: list[Trial] = []
    for _ in range(num):
        found = drawn(trials)
        trials.append(Trial(found, True, abs(int(found["b.b"]) - 5.0) + float(found["a.a"])))
    return trials


def test_search_proposes_the_same_after_the_same_trials() -> None:
    assert searched(14) == searched(14)
    assert len({trial.drawn["a.a"] for trial in searched(14)}) == 14


def test_search_learns_from_what_it_was_told() -> None:
    trials = searched(40)
    first, last = trials[:10], trials[-10:]
    assert sum(trial.value or 0 for trial in last) < sum(trial.value or 0 for trial in first)


def test_search_goes_on_past_failed_running_and_foreign_trials() -> None:
    odd = [
        Trial(drawn([]), True),
        Trial(drawn([]), False),
        Trial({"z.z": "1"}, True, 0.0),
        Trial({**drawn([]), "b.b": "99"}, True, 0.0),
    ]
    assert drawn(odd).keys() == SEARCH.over.keys()


def test_probes_reach_every_end_and_every_choice() -> None:
    points = [{setting.key: setting.text for setting in point} for point in probes(SEARCH)]
    assert {point["b.b"] for point in points} == {"1", "5", "8"}
    assert {point["c.c"] for point in points} == {"1", "[2]"}
    assert {"0.0001", "1.0"} <= {point["a.a"] for point in points}


@pytest.mark.parametrize(
    ("results", "value"),
    [
        ({"average/fd": 2.0}, 2.0),
        ({"fd": 2.0}, 2.0),
        ({"average/fd": None}, None),
        ({"average/fd": float("nan")}, None),
        ({"x": 1.0}, None),
    ],
)
def test_metric_is_found_with_or_without_its_average(results: dict[str, float | None], value: float | None) -> None:
    assert measured(results, "fd") == value
