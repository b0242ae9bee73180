"""Real gin injects, and is left as it was found."""

from __future__ import annotations

import copy
import pickle
import threading
import traceback
from pathlib import Path
from typing import Any

import gin
import pytest
from genever.language import build, config_str
from genever.parts import Catalog
from gin import config as gin_config

PARTS = """
from dataclasses import dataclass

@dataclass(frozen=True, kw_only=True)
class Part:
    value: object = None
    inner: object = None

@dataclass(frozen=True, kw_only=True)
class Picky:
    value: int

    def __post_init__(self):
        try:
            {}["key"]
        except KeyError as error:
            raise OddError("no", code=7) from error

class OddError(Exception):
    def __new__(cls, message, *, code):
        made = super().__new__(cls, message)
        made.code = code
        return made

    def __init__(self, message, *, code):
        super().__init__(message)

def made(*, value=1):
    return ("made", value)
"""

ROOT = """
train.data = @data.Part()
train.loss = @loss.Part()
train.sampler = @sampler.made()
train.backbone = 1
train.conditioner = 1
train.codec = 1
train.tuner = 1
train.optimizer = 1
train.solver = 1
train.steps = 3
"""


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    (tmp_path / "plain_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    names = {"data.Part": "Part", "loss.Part": "Part", "loss.Picky": "Picky", "sampler.made": "made"}
    return Catalog(targets={name: f"plain_parts:{own}" for name, own in names.items()}, providers={}, reports=())


def globals_of_gin() -> dict[str, Any]:
    """Every global of gin that holds state, deep enough to notice any change."""
    names = [
        name for name, value in vars(gin_config).items() if isinstance(value, dict | list | set | bool) and name[0] == "_"
    ]
    state = {name: copy.copy(getattr(gin_config, name)) for name in names if not name.startswith("__")}
    maps = {name: getattr(gin_config, name) for name in ("_REGISTRY", "_CONSTANTS")}
    state |= {name: (copy.deepcopy(found._selector_tree), dict(found._selector_map)) for name, found in maps.items()}
    return {**state, "scopes": gin_config._SCOPE_MANAGER.active_scopes}


@pytest.fixture
def busy_gin() -> Any:
    """A gin that somebody else uses: configured, with a constant, a hook and a lock."""
    from genever.language._build import isolated_gin

    with isolated_gin():
        gin.external_configurable(lambda lr=1: lr, name="loss.Part", module="theirs")
        gin.parse_config("theirs.loss.Part.lr = 5\nMACRO = 3")
        gin.constant("theirs.CONSTANT", 1)
        gin_config.register_finalize_hook(lambda config: None)
        gin.finalize()
        with gin.config_scope("outer"):
            yield


def test_parts_are_exact_instances_that_pickle(plain: Catalog) -> None:
    stage = build(ROOT + "data.Part.value = [1, {'a': (2,)}]\nloss.Part.inner = @data.Part()\n", plain)
    import plain_parts  # pyright: ignore[reportMissingImports]

    assert type(stage.data) is plain_parts.Part
    assert stage.data == stage.loss.inner == plain_parts.Part(value=[1, {"a": (2,)}])
    assert stage.sampler == ("made", 1)
    assert pickle.loads(pickle.dumps(stage)) == stage


def test_scopes_reach_what_is_built_inside_them(plain: Catalog) -> None:
    more = "train.loss = @a/loss.Part()\nloss.Part.inner = @data.Part()\ndata.Part.value = 1\na/data.Part.value = 2\n"
    stage = build(ROOT.replace("train.loss = @loss.Part()\n", "") + more, plain)
    assert (stage.data.value, stage.loss.inner.value) == (1, 2)


@pytest.mark.usefixtures("busy_gin")
def test_building_leaves_gin_as_it_was(plain: Catalog) -> None:
    before = globals_of_gin()
    build(ROOT, plain)
    assert globals_of_gin() == before
    assert gin.query_parameter("theirs.loss.Part.lr") == 5


@pytest.mark.usefixtures("busy_gin")
def test_failing_leaves_gin_as_it_was(plain: Catalog) -> None:
    before = globals_of_gin()
    with pytest.raises(Exception, match="no"):
        build(ROOT.replace("@loss.Part", "@loss.Picky") + "loss.Picky.value = 1\n", plain)
    assert globals_of_gin() == before


def test_exception_arrives_whole(plain: Catalog) -> None:
    with pytest.raises(Exception, match=r"^no\nwhile building loss\.Picky$") as caught:
        build(ROOT.replace("@loss.Part", "@loss.Picky") + "loss.Picky.value = 1\n", plain)
    error = caught.value
    assert type(error).__name__ == "OddError"
    assert type(error).__module__ == "plain_parts"
    assert error.code == 7  # pyright: ignore[reportAttributeAccessIssue]
    assert isinstance(error.__cause__, KeyError)
    assert str(error) == "no"
    assert traceback.extract_tb(error.__traceback__)[-1].filename.endswith("plain_parts.py")


def test_exception_of_the_stage_itself_arrives_whole(plain: Catalog) -> None:
    with pytest.raises(ValueError, match=r"train\.accumulate = 5 does not divide train\.batch_size = 128") as caught:
        build(ROOT + "train.accumulate = 5\n", plain)
    assert type(caught.value) is ValueError


def test_threads_do_not_disturb_each_other(plain: Catalog) -> None:
    found: dict[int, object] = {}

    def work(number: int) -> None:
        found[number] = build(ROOT.replace("train.steps = 3", f"train.steps = {number + 1}"), plain).steps

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number + 1 for number in range(8)}


@pytest.mark.parametrize("form", ["text", "file", "directory"])
def test_frozen_file_may_be_given_as(form: str, plain: Catalog, tmp_path: Path) -> None:
    (tmp_path / "resolved.gin").write_text(ROOT)
    given = {"text": ROOT, "file": tmp_path / "resolved.gin", "directory": tmp_path}
    assert build(given[form], plain).steps == 3


def test_gin_holds_what_the_file_says(plain: Catalog, tmp_path: Path) -> None:
    lines = [line for line in config_str(ROOT, plain).split("\n") if line and not line.startswith("#")]
    assert sorted(lines) == sorted(ROOT.strip().split("\n"))
