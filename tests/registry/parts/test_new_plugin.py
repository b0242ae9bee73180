"""`tools/new-plugin`, tried as a new plugin author would: generate, fill in, install, look, test, train with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[3] / "tools/new-plugin"

#: A sampler in five lines, in place of those of the template.
POWER = "    power: Annotated[float, Gt(0)] = 2.0\n"
FILLED = {
    "t = u ** power with u ~ Uniform(0, 1). Time runs": "t ~ Kumaraswamy(a, b). Time runs",
    "        power: 1 = uniform; above 1, more times near noise.\n": "        a: near data.\n        b: near noise.\n",
    POWER: POWER.replace("power", "a") + POWER.replace("power", "b"),
    "        return u**self.power\n": "        return (1 - (1 - u) ** (1 / self.b)) ** (1 / self.a)\n",
}
GIN = "train.sampler = @BetaTimes()\nBetaTimes.b = 3.0\n"


def new_plugin(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated plugin, filled in."""
    folder = tmp_path_factory.mktemp("plugins")
    assert new_plugin("beta-times", folder).returncode == 0
    file = folder / "beta-times/beta_times/beta_times.py"
    text = file.read_text()
    for old, new in FILLED.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return folder / "beta-times"


@pytest.fixture(scope="module")
def environment(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the plugin installed, by pip and without a network."""
    site, cache = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("cache")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", site, plugin], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(site), "GENEVER_CACHE": str(cache)}


def genever(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genever", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_new_plugin_is_loaded_once_it_is_installed(environment: dict[str, str]) -> None:
    (report,) = [one for one in json.loads(genever(environment, "plugins", "--json").stdout) if one["name"] == "beta-times"]
    assert (report["status"], report["parts"]) == ("loaded", ["sampler.BetaTimes"])
    assert report["broken_parts"] == {}


def test_new_part_is_shown(environment: dict[str, str]) -> None:
    shown = genever(environment, "parts", "BetaTimes").stdout
    assert shown.startswith("sampler.BetaTimes\nclass of plugin beta-times (beta-times 0.1.0), ")
    assert "  a     float > 0  2.0      near data.\n" in shown


def test_new_plugin_passes_its_own_tests(plugin: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=plugin, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_broken_part_fails_its_own_tests_by_name(plugin: Path, environment: dict[str, str], tmp_path: Path) -> None:
    site = tmp_path / "beta_times"
    site.mkdir()
    text = (plugin / "beta_times/beta_times.py").read_text()
    (site / "__init__.py").write_text((plugin / "beta_times/__init__.py").read_text())
    (site / "beta_times.py").write_text(text.replace("generator=generator, ", "").replace("a: near data.", ""))
    path = f"{tmp_path}{os.pathsep}{environment['PYTHONPATH']}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", plugin / "tests"]
    done = subprocess.run(command, capture_output=True, text=True, env={**environment, "PYTHONPATH": path}, cwd=tmp_path)
    failed = {line.partition("[")[2].partition("]")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    assert failed == {"parameters_have_meanings", "seed_decides_the_times", "global_luck_is_left_alone"}


def test_new_part_is_used_in_a_gin_file(environment: dict[str, str], tmp_path: Path) -> None:
    base = "train.data = @Digits()\ntrain.loss = @FlowMatching()\ntrain.backbone = @DiT()\ntrain.steps = 2\n"
    (tmp_path / "mine.gin").write_text(base + GIN)
    checked = genever(environment, "check", str(tmp_path / "mine.gin"))
    assert checked.returncode == 0, checked.stderr
    (tmp_path / "mine.gin").write_text(base + GIN.replace("BetaTimes.b", "BetaTimes.bb"))
    assert genever(environment, "check", str(tmp_path / "mine.gin")).returncode == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Beta", "The name 'Beta' is not lower-case words with '-' between them, such as 'beta-times'. Try 'beta'."),
        ("beta_times", "The name 'beta_times' is not lower-case words with '-' between them"),
        ("../acme", "The name '../acme' is not lower-case words with '-' between them"),
        ("9x", "The name '9x' is not lower-case words with '-' between them"),
        ("", "The name '' is not lower-case words with '-' between them"),
        ("class", "The name 'class' is taken by Python itself. Try 'acme-class'."),
        ("json", "The name 'json' is taken by Python itself. Try 'acme-json'."),
        ("torch", "The name 'torch' is taken by a package that is installed. Try 'acme-torch'."),
        ("genever-beta", "The name 'genever-beta' is taken by Genever itself. Try 'acme-beta'."),
        ("genever", "The name 'genever' is taken by Genever itself. Try 'acme-genever'."),
    ],
)
def test_bad_name_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    done = new_plugin(name, tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"tools/new-plugin: {reason}")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "acme").mkdir()
    done = new_plugin("acme", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"tools/new-plugin: {tmp_path / 'acme'} is already there, and nothing is overwritten. " + (
        "Choose another name or folder.\n"
    )
    assert list((tmp_path / "acme").iterdir()) == []


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert new_plugin("acme", tmp_path / "file").returncode == 2


def test_missing_name_is_wrong_input() -> None:
    assert new_plugin().returncode == 2
