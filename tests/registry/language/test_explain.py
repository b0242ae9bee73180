"""Provenance of every value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.language import Explanation, UserError, explain, read
from genever.parts import Catalog

Explained = Callable[..., list[Explanation]]


@pytest.fixture
def explained(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[dict[str, str]], None], good: str
) -> Explained:
    monkeypatch.chdir(tmp_path)
    text = "M = 5\n" + good + "train.steps = %M\nLogitNormal.std = 2.0\ntrain.averages = {'ema': @slow/Constant()}\n"
    write({"x.gin": text + "slow/Constant.decay = 0.5\nUViT.width = 3\n"})

    def explain_key(key: str | None, *bindings: str) -> list[Explanation]:
        return explain(read("x.gin", bindings, catalog=catalog), catalog, key)

    return explain_key


def test_value_is_explained(explained: Explained) -> None:
    assert explained("train.steps", "train.steps = 7") == [
        Explanation(
            key="train.steps",
            value="7",
            origin="-b",
            place="-b:1",
            replaced=(("10", "x.gin:6"), ("%M", "x.gin:7")),
            annotation="Annotated[int, Ge(1)]",
            wanted="a whole number >= 1",
            meaning="the steps.",
        )
    ]


def test_macro_of_a_value_is_named(explained: Explained) -> None:
    assert explained("train.steps")[0].macros == (("M", "x.gin:1"),)


def test_default_of_a_part_is_explained(explained: Explained) -> None:
    (one,) = explained("LogitNormal.mean")
    assert (one.key, one.value, one.origin, one.default) == ("sampler.LogitNormal.mean", "0.0", "default", "0.0")


def test_part_is_explained_whole(explained: Explained) -> None:
    assert [(one.key, one.value) for one in explained("LogitNormal")] == [
        ("sampler.LogitNormal.mean", "0.0"),
        ("sampler.LogitNormal.std", "2.0"),
    ]


@pytest.mark.parametrize("key", ["Constant.decay", "slow/Constant.decay", "average.Constant.decay"])
def test_scoped_value_is_found_by(key: str, explained: Explained) -> None:
    assert [(one.key, one.value) for one in explained(key)] == [("slow/average.Constant.decay", "0.5")]


@pytest.mark.parametrize("key", ["M", "%M"])
def test_macro_is_explained(key: str, explained: Explained) -> None:
    assert [(one.key, one.value, one.place) for one in explained(key)] == [("M", "5", "x.gin:1")]


def test_value_without_effect_says_so(explained: Explained) -> None:
    assert [one.has_effect for one in explained("UViT.width")] == [False]


def test_everything_that_is_composed_is_explained(explained: Explained) -> None:
    found = explained(None)
    assert {one.key for one in found} >= {
        "train.loss",
        "train.keep_best",
        "backbone.DiT.depth",
        "slow/average.Constant.decay",
    }
    assert not [one for one in found if one.key.startswith("backbone.UViT")]


@pytest.mark.parametrize("key", ["train.stpes", "", "%", "a/b/c", "..", "Nothing"])
def test_unknown_key_is_refused(key: str, explained: Explained) -> None:
    with pytest.raises(UserError, match=r"^x\.gin composes nothing that is called "):
        explained(key)


def test_unknown_key_names_the_nearest(explained: Explained) -> None:
    with pytest.raises(UserError, match=r"Did you mean train\.steps"):
        explained("train.stpes")
