"""Every shipped experiment freezes to a file that plain gin reads as we do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import gin
import pytest
from genever.language import build, check, config_str, read, resolve
from genever.language._build import isolated_gin
from genever.parts import Catalog, load_catalog
from gin import config as gin_config

ROOT = Path(__file__).parents[2]


def is_experiment(file: Path) -> bool:
    """Whether a gin file composes a stage by itself. What others include is named base.gin or begins with '_'."""
    return file.name != "base.gin" and not file.name.startswith("_")


FILES = sorted(file for file in (ROOT / "experiments").rglob("*.gin") if is_experiment(file))


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def frozen(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    monkeypatch.chdir(ROOT)
    return lambda file: resolve(read(file, catalog=catalog), catalog).text


def under_plain_gin(text: str, catalog: Catalog) -> str:
    """What gin holds after it read a text, with the parts registered as any user of gin would."""
    names = {"train", *re.findall(r"\b([a-z]+\.[A-Z]\w*)", text)}
    with isolated_gin():
        for name in sorted(names):
            module, _, own = name.rpartition(".")
            gin.external_configurable(catalog.load(name), name=own, module=module or None)
        gin.parse_config(text)
        return gin.config_str()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT / "experiments").as_posix())
def test_experiment_has_no_problem(file: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    problems = check(read(file, catalog=catalog), catalog)
    assert not [problem for problem in problems if "there is no finished run of that name yet" not in problem.message]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT / "experiments").as_posix())
def test_frozen_experiment_is_the_same_under_plain_gin(file: Path, frozen: Callable[[Path], str], catalog: Catalog) -> None:
    text = frozen(file)
    assert under_plain_gin(text, catalog) == config_str(text, catalog)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT / "experiments").as_posix())
def test_experiment_builds_and_leaves_gin_alone(file: Path, frozen: Callable[[Path], str], catalog: Catalog) -> None:
    registered, before = dict(gin_config._REGISTRY.items()), gin.config_str()
    stage = build(frozen(file), catalog)
    assert type(stage).__name__ == "Stage"
    assert (dict(gin_config._REGISTRY.items()), gin.config_str()) == (registered, before)


def test_golden_comparison_notices_a_difference(catalog: Catalog) -> None:
    text = "train.data = @data.Digits()\ntrain.steps = 3\n"
    assert under_plain_gin(text, catalog) == config_str(text, catalog)
    assert under_plain_gin(text, catalog) != config_str(text + "train.seed = 1\n", catalog)
