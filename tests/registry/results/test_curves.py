"""Curves are thinned without losing a spike, and read whatever a kill left."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from genever.results._curves import Curve, read_curves, thinned
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=300)


@given(VALUES, st.integers(4, 60))
def test_thinned_curve_keeps_ends_extremes_and_order(values: list[float | None], most: int) -> None:
    curve = Curve(list(range(len(values))), values)
    found = thinned(curve, most)
    finite, kept = [v for v in values if v is not None], [v for v in found.values if v is not None]
    assert len(found.steps) <= max(most, 4)
    assert all(a < b for a, b in pairwise(found.steps))
    assert [curve.values[step] for step in found.steps] == found.values
    assert (found.steps[0], found.steps[-1]) == (0, len(values) - 1)
    assert not finite or (min(kept), max(kept)) == (min(finite), max(finite))


def test_short_curve_stays_as_it_is() -> None:
    curve = Curve([1, 2, 3, 4], [1.0, None, 2.0, 3.0])
    assert thinned(curve, 4) is curve


def test_stretch_that_is_not_finite_leaves_a_gap() -> None:
    curve = Curve(list(range(100)), [1.0] * 30 + [None] * 40 + [1.0] * 30)
    assert None in thinned(curve, 12).values


def test_curves_are_read_from_complete_lines(tmp_path: Path) -> None:
    lines = ['{"step": 1, "a": 2.0, "b": null}', "nonsense", "[]", '{"a": 1.0}', '{"step": 2, "a": NaN}', '{"step": 3, "a"']
    file = tmp_path / "metrics.jsonl"
    file.write_text("\n".join(lines))
    curves, is_whole = read_curves(file)
    assert curves == {"a": Curve([1, 2], [2.0, None]), "b": Curve([1], [None])}
    assert is_whole


def test_metrics_that_are_not_there_have_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path / "metrics.jsonl") == ({}, True)


@pytest.mark.parametrize("num", [4000, 50_000])
def test_every_evaluation_of_a_very_long_run_is_read(num: int, tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    lines = [{"step": n, "raw/fd": 1.0} if n % 999 == 0 else {"step": n, "model/loss": 1.0} for n in range(num)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    curves, is_whole = read_curves(file)
    assert len(curves["raw/fd"].steps) == -(-num // 999)
    assert len(curves["model/loss"].steps) <= 4001
    assert is_whole == (num == 4000)
