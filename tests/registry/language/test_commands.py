"""`genever check`, `explain` and `resolve` as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.command import main

GOOD = """\
train.data = @Digits()
train.loss = @FlowMatching()
train.sampler = @LogitNormal()
train.backbone = @DiT()
train.steps = 10
LogitNormal.std = 2.0
"""

Main = Callable[..., tuple[int, str, str]]


@pytest.fixture
def genever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Main:
    """`genever("check", text, "-b", ...)`: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(verb: str, text: str, *arguments: str) -> tuple[int, str, str]:
        Path("x.gin").write_text(text)
        code = main([verb, "x.gin", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_check_tells_what_is_composed(genever: Main) -> None:
    code, out, err = genever("check", GOOD)
    assert (code, err) == (0, "")
    assert out.startswith("ok x.gin: data = Digits, loss = FlowMatching, sampler = LogitNormal, backbone = DiT, ")


def test_check_prints_problems_and_their_number(genever: Main) -> None:
    code, out, err = genever("check", GOOD + "train.stepz = 4\nUnused = 3\n")
    assert (code, out) == (2, "")
    first, second, last = err.strip().split("\n")
    assert first.startswith("x.gin:7: error: train has no parameter stepz. Did you mean steps? It has: data, ")
    assert second == "x.gin:8: warning: The macro Unused is set, but nothing uses %Unused. Use it or leave it out."
    assert last == "x.gin: 1 error, 1 warning"


def test_check_lets_warnings_pass_unless_it_is_strict(genever: Main) -> None:
    assert genever("check", GOOD + "Unused = 3\n")[0] == 0
    assert genever("check", GOOD + "Unused = 3\n", "--strict")[0] == 2


def test_check_answers_in_json(genever: Main) -> None:
    code, out, err = genever("check", GOOD, "-b", "train.steps = 0", "--json")
    answer = json.loads(out)
    assert (code, err, answer["ok"], answer["identity"]) == (2, "", False, None)
    problem = {"level": "error", "file": "-b", "line": 1, "message": "train.steps wants a whole number >= 1, not 0."}
    assert answer["problems"] == [problem]
    assert json.loads(genever("check", GOOD, "--json")[1])["ok"]


def test_explain_tells_where_a_value_is_from(genever: Main) -> None:
    code, out, _ = genever("explain", GOOD, "LogitNormal.std", "-b", "LogitNormal.std = 3")
    assert code == 0
    assert out.split("\n")[0] == "sampler.LogitNormal.std = 3"
    assert [line.split(maxsplit=1) for line in out.strip().split("\n")[1:3]] == [
        ["from", "-b:1"],
        ["replaced", "2.0 of x.gin:6"],
    ]


def test_explain_lists_everything(genever: Main) -> None:
    _, out, _ = genever("explain", GOOD)
    lines = {line.partition("  ")[0]: line.partition("# ")[2] for line in out.strip().split("\n")}
    assert lines["train.steps = 10"] == "x.gin:5"
    assert lines["train.seed = 0"] == "default"


def test_explain_of_an_unknown_key_is_the_users_mistake(genever: Main) -> None:
    code, out, err = genever("explain", GOOD, "train.stepz")
    assert (code, out) == (2, "")
    assert err.startswith("genever explain: x.gin composes nothing that is called 'train.stepz'. Did you mean train.steps")


def test_resolve_prints_the_frozen_file(genever: Main) -> None:
    code, out, err = genever("resolve", GOOD)
    assert (code, err) == (0, "")
    assert "\nsampler.LogitNormal.std = 2.0  # x.gin:6\n" in out
    assert json.loads(genever("resolve", GOOD, "--json")[1])["values"]["train.steps"]["line"] == 5


def test_resolve_refuses_what_is_wrong(genever: Main) -> None:
    code, out, err = genever("resolve", GOOD + "train.stepz = 4\n")
    assert (code, out) == (2, "")
    assert err.startswith("genever resolve: x.gin has 1 error.\nx.gin:7: error: train has no parameter stepz.")


@pytest.mark.parametrize("verb", ["check", "explain", "resolve"])
def test_command_does_not_import_torch(verb: str, tmp_path: Path) -> None:
    (tmp_path / "x.gin").write_text(GOOD)
    script = (
        "import sys\nfrom genever.command import main\n"
        f"code = main([{verb!r}, 'x.gin'])\nprint(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "0 False"
    # Starting Python is in it, and the machine may be busy.
    assert time.perf_counter() - began < 3
