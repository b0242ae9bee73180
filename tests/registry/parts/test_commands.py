"""`genever parts` and `genever plugins`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from genever.command import main
from genever.parts import load_catalog
from gin.config_parser import ConfigParser, ParserDelegate

Install = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

BETA = '''
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from collections.abc import Sequence
from annotated_types import Gt, Interval, Len, MinLen

@dataclass(frozen=True, kw_only=True)
class AcmeBeta:
    """t ~ Beta(a, b).

    It is flexible.

    Args:
        a: weight near data.
        b: weight near noise. None = a.
        form: which form of it.
        ends: the least and the greatest time.
        name: of it.

    References:
        Euler, Institutionum calculi integralis, 1768.
    """

    needs: ClassVar[tuple[str, ...]] = ("loss.velocity",)
    infrastructure: ClassVar[tuple[str, ...]] = ("form",)

    a: Annotated[float, Gt(0)]
    b: Annotated[float, Gt(0)] | None = None
    form: Literal["first", "second"] = "first"
    ends: Annotated[Sequence[Annotated[float, Interval(ge=0, le=1)]], Len(2, 2)] = (0, 1)
    name: Annotated[str, MinLen(1)] = "b"
'''


@pytest.fixture
def acme(install: Install) -> Path:
    hook = "registry.add('sampler.AcmeBeta', 'acme_cmd.beta:AcmeBeta'); registry.add('loss.AcmeGone', 'acme_cmd.gone:X')"
    return install("acme_cmd", hook=hook, beta=BETA)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def words(capsys: Capture) -> str:
    """Standard output, however it is aligned."""
    return " ".join(capsys.readouterr().out.split())


def test_part_shows_all_that_it_says_of_itself(acme: Path, capsys: Capture) -> None:
    assert main(["parts", "sampler.AcmeBeta"]) == 0
    assert (
        capsys.readouterr().out
        == f"""sampler.AcmeBeta
class of plugin acme_cmd (acme_cmd-dist 1.0), {acme / "beta.py"}:9

t ~ Beta(a, b).

It is flexible.

Parameters
  NAME  TYPE                      DEFAULT     MEANING
  a     float > 0                 (required)  weight near data.
  b     float > 0 | None          None        weight near noise. None = a.
  form  'first' | 'second'        'first'     which form of it.
  ends  Sequence[float ≥ 0, ≤ 1]  (0, 1)      the least and the greatest time.
        length 2
  name  str length ≥ 1            'b'         of it.

Needs
  loss.velocity

Does not change the result
  form

Source
  Euler, Institutionum calculi integralis, 1768.

In a gin file
  train.sampler = @AcmeBeta()
  AcmeBeta.a = 1.0
"""
    )


def test_bare_name_is_enough(acme: Path, capsys: Capture) -> None:
    assert main(["parts", "AcmeBeta"]) == 0
    assert capsys.readouterr().out.startswith("sampler.AcmeBeta\n")


def test_part_that_is_there_by_default_is_shown_and_not_asked_for(capsys: Capture) -> None:
    assert main(["parts", "loss.FlowMatching"]) == 0
    said = words(capsys)
    assert "path Path @Linear() the straight one." in said
    assert "FlowMatching.path" not in said


def test_class_called_like_a_slot_is_not_taken_for_the_slot(install: Install, capsys: Capture) -> None:
    reader = "from pathlib import Path\nclass AcmeReader:\n    def __init__(self, *, file: Path): ...\n"
    install("acme_reader", hook="registry.add('aligner.AcmeReader', 'acme_reader.parts:AcmeReader')", parts=reader)
    assert main(["parts", "AcmeReader", "--json"]) == 0
    assert "AcmeReader.file = None" in json.loads(capsys.readouterr().out)["example"]
    assert main(["parts", "path.Linear", "--json"]) == 0
    assert "AcmeReader" not in capsys.readouterr().out


def test_part_in_json_says_the_same(acme: Path, capsys: Capture) -> None:
    assert main(["parts", "AcmeBeta", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["name"] == "sampler.AcmeBeta"
    assert said["plugin"] == "plugin acme_cmd (acme_cmd-dist 1.0)"
    assert said["parameters"][0] == {
        "name": "a",
        "annotation": "Annotated[float, Gt(0)]",
        "required": True,
        "default": None,
        "doc": "weight near data.",
    }
    assert said["example"] == ["train.sampler = @AcmeBeta()", "AcmeBeta.a = 1.0"]


def test_slot_lists_its_parts(acme: Path, capsys: Capture) -> None:
    assert main(["parts", "sampler"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sampler: Draws training times in [0, 1]."
    starts = {len(match[0]) for line in lines if (match := re.match(r"  sampler\.\w+ +", line))}
    assert len(starts) == 1
    assert "  sampler.AcmeBeta".ljust(starts.pop()) + "t ~ Beta(a, b). [acme_cmd]" in lines


def test_listing_shows_a_broken_part_with_its_reason(acme: Path, capsys: Capture) -> None:
    assert main(["parts"]) == 0
    assert "loss.AcmeGone broken: There is no module 'acme_cmd.gone'. [acme_cmd]" in words(capsys)
    assert main(["parts", "--json"]) == 0
    said = {part["name"]: part for part in json.loads(capsys.readouterr().out)}
    assert said["loss.AcmeGone"]["broken"] == "There is no module 'acme_cmd.gone'."
    assert said["sampler.AcmeBeta"]["summary"] == "t ~ Beta(a, b)."


def test_slot_without_parts_says_so(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENEVER_PLUGINS", "=")
    assert main(["parts", "sampler"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "  No plugin provides one."


def test_stage_shows_its_slots_and_their_defaults(capsys: Capture) -> None:
    assert main(["parts", "train"]) == 0
    said = words(capsys)
    assert " codec Codec @Pixels() images to latents and back." in said
    assert " Taken over from the run that `train.start` names, where a file is silent data, codec," in said


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("samplr", "There is no part or slot 'samplr'. Did you mean sampler?"),
        ("sampler.AcmeBetta", "There is no part or slot 'sampler.AcmeBetta'. Did you mean sampler.AcmeBeta?"),
        ("acmebeta", "There is no part or slot 'acmebeta'. Did you mean sampler.AcmeBeta?"),
        ("qqqqqqqq", "There is no part or slot 'qqqqqqqq'. `genever parts` lists them all."),
        ("AcmeGone", "The part loss.AcmeGone of plugin acme_cmd (acme_cmd-dist 1.0) cannot be used. There is no module"),
    ],
)
def test_unknown_part_is_wrong_input(acme: Path, capsys: Capture, what: str, message: str) -> None:
    assert main(["parts", what]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"genever parts: {message}")


def test_ambiguous_name_is_wrong_input(install: Install, capsys: Capture) -> None:
    hook = "[registry.add(f'{slot}.AcmeTwin', 'acme_twin:Twin') for slot in ('loss', 'codec')]"
    install("acme_twin", hook=hook)
    assert main(["parts", "AcmeTwin"]) == 2
    assert "'AcmeTwin' could mean codec.AcmeTwin or loss.AcmeTwin. Give the full name." in capsys.readouterr().err


def test_failed_plugin_is_named_where_a_part_is_missing(install: Install, capsys: Capture) -> None:
    install("acme_fail", init="raise RuntimeError('no licence')\n")
    assert main(["parts", "AcmeMissing"]) == 2
    assert "The plugin acme_fail (acme_fail-dist 1.0) failed to load: RuntimeError: no licence" in capsys.readouterr().err


def test_plugins_shows_what_became_of_each(acme: Path, install: Install, capsys: Capture) -> None:
    install("acme_fail", init="raise RuntimeError('no licence')\n")
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.startswith("acme")}
    assert rows["acme_cmd"][:4] == ["acme_cmd", "1.0", "acme_cmd-dist", "loaded"]
    assert rows["acme_cmd"][5:] == ["ms", "sampler.AcmeBeta,", "loss.AcmeGone"]
    assert rows["acme_fail"] == ["acme_fail", "1.0", "acme_fail-dist", "failed"]
    assert "The plugin acme_fail (acme_fail-dist 1.0) failed to load.\n  RuntimeError: no licence" in said
    assert "The part loss.AcmeGone of plugin acme_cmd (acme_cmd-dist 1.0) is broken.\n  There is no module" in said


def test_plugins_in_json_say_the_same(acme: Path, capsys: Capture) -> None:
    assert main(["plugins", "--json"]) == 0
    (said,) = [one for one in json.loads(capsys.readouterr().out) if one["name"] == "acme_cmd"]
    assert said.pop("seconds") > 0
    assert said == {
        "name": "acme_cmd",
        "distribution": "acme_cmd-dist",
        "version": "1.0",
        "status": "loaded",
        "reason": "",
        "parts": ["sampler.AcmeBeta", "loss.AcmeGone"],
        "tried": [],
        "broken_parts": {"loss.AcmeGone": "There is no module 'acme_cmd.gone'."},
    }


def test_every_example_is_gin() -> None:
    from genever.command._part_page import example

    catalog = load_catalog()
    for surface in (catalog.stage, *map(catalog.surface, catalog.names())):
        lines = example(catalog, surface)
        assert len(list(ConfigParser("\n".join(lines), _Delegate()))) == len(lines)


class _Delegate(ParserDelegate):
    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> None: ...

    def macro(self, macro_name: str) -> None: ...


@pytest.mark.parametrize("arguments", [["parts"], ["parts", "train"], ["parts", "LogitNormal"], ["plugins"]])
def test_command_imports_no_torch_and_reads_no_source_twice(arguments: list[str]) -> None:
    script = (
        f"import sys; from genever.command import main; code = main({arguments})\n"
        "print(code, *sorted({'torch', 'numpy', 'genever.parts._reading'} & set(sys.modules)), file=sys.stderr)"
    )
    first, second = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ}) for _ in range(2)
    )
    assert first.stderr.splitlines()[-1] == "0 genever.parts._reading"
    assert second.stderr.splitlines()[-1] == "0"
