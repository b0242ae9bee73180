"""The frozen file, and the identity of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.language import Resolved, UserError, read, resolve
from genever.parts import Catalog

Resolve = Callable[..., Resolved]


@pytest.fixture
def resolved(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[dict[str, str]], None]
) -> Resolve:
    monkeypatch.chdir(tmp_path)

    def resolve_text(text: str, *bindings: str) -> Resolved:
        write({"x.gin": text})
        return resolve(read("x.gin", bindings, catalog=catalog), catalog)

    return resolve_text


def test_frozen_file_is_flat_and_says_where_each_value_is_from(resolved: Resolve, good: str) -> None:
    text = resolved("M = 2\n" + good + "LogitNormal.std = %M\nUViT.width = 3\n", "train.steps = 5").text
    assert text.split("\n\n", 1)[1] == (
        "train.data = @data.Digits()  # x.gin:2\n"
        "train.loss = @loss.FlowMatching()  # x.gin:3\n"
        "train.sampler = @sampler.LogitNormal()  # x.gin:4\n"
        "train.backbone = @backbone.DiT()  # x.gin:5\n"
        "train.conditioner = @conditioner.Unconditional()  # default\n"
        "train.steps = 5  # -b\n\n"
        "sampler.LogitNormal.std = 2.0  # x.gin:7\n"
    )


def test_part_of_a_part_that_the_file_leaves_out_is_its_default(resolved: Resolve, good: str) -> None:
    text = resolved(good + "train.aligner = @Along()\n").text
    assert text.endswith("\n\naligner.Along.path = @path.Linear()  # default\n")
    written = resolved(good + "train.aligner = @Along()\nAlong.path = @path.Linear()\n")
    assert written.text.endswith("\n\naligner.Along.path = @path.Linear()  # x.gin:7\n")
    assert written.identity == resolved(good + "train.aligner = @Along()\n").identity


def test_record_says_what_each_value_replaced(resolved: Resolve, good: str) -> None:
    found = json.loads(resolved("M = 5\n" + good, "train.steps = %M").json)
    assert found["values"]["train.steps"] == {
        "value": "5",
        "origin": "-b",
        "file": "-b",
        "line": 1,
        "macros": [{"name": "M", "file": "x.gin", "line": 1}],
        "replaced": [{"value": "10", "file": "x.gin", "line": 6}],
    }
    assert found["values"]["train.conditioner"]["origin"] == "default"


def test_frozen_file_freezes_to_itself(resolved: Resolve, catalog: Catalog, good: str) -> None:
    first = resolved(good + "train.averages = {'ema': @a/Constant()}\na/Constant.decay = 0.5\nDigits.split = \"it's\\n\"\n")
    Path("resolved.gin").write_text(first.text)
    again = resolve(read("resolved.gin", catalog=catalog), catalog)
    assert again.identity == first.identity
    assert [line.partition("  #")[0] for line in again.text.split("\n")[2:]] == [
        line.partition("  #")[0] for line in first.text.split("\n")[2:]
    ]


SAME = {
    "a comment": ("# c\n", ()),
    "an interval of logging": ("train.log_every = 7\n", ()),
    "a binding without effect": ("UViT.width = 3\n", ()),
    "the same value by a macro": ("S = 10\n", ("train.steps = %S",)),
    "a name in full": ("", ("train.loss = @loss.FlowMatching()",)),
    "a default in full": ("", ("train.conditioner = @Unconditional()",)),
}


@pytest.mark.parametrize("what", SAME)
def test_identity_does_not_depend_on(what: str, resolved: Resolve, good: str) -> None:
    more, bindings = SAME[what]
    assert resolved(more + good, *bindings).identity == resolved(good).identity


def test_identity_does_not_depend_on_order_or_on_how_a_number_is_written(resolved: Resolve, good: str) -> None:
    lines = [*good.splitlines(), "LogitNormal.std = 2", "LogitNormal.mean = 1e0"]
    other = [*reversed(good.splitlines()), "LogitNormal.mean = 1", "LogitNormal.std = 2.0"]
    assert resolved("\n".join(lines)).identity == resolved("\n".join(other)).identity


@pytest.mark.parametrize("binding", ["train.steps = 11", "LogitNormal.std = 2.0", "train.sampler = @Uniform()"])
def test_identity_depends_on_what_changes_the_result(binding: str, resolved: Resolve, good: str) -> None:
    assert resolved(good, binding).identity != resolved(good).identity


def test_file_with_errors_is_not_frozen(resolved: Resolve, good: str) -> None:
    with pytest.raises(UserError, match=r"(?s)^x.gin has 2 errors\.\nx.gin:6: error: .*\nx.gin:7: error: "):
        resolved(good + "train.stepz = 3\nDiT.widht = 4\n")


def test_composition_is_told_in_a_line(resolved: Resolve, good: str) -> None:
    assert resolved(good).composes == (
        "data = Digits, loss = FlowMatching, sampler = LogitNormal, backbone = DiT, conditioner = Unconditional"
    )
