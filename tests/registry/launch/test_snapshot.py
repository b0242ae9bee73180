"""The code that jobs run from."""

import subprocess
import sys
from pathlib import Path

import pytest
from genever.launch import freeze_code
from genever.parts import load_catalog

PLUGIN = """
from genever import hookimpl

@hookimpl
def register_parts(registry):
    registry.add("sampler.Odd", "odd_parts:Odd")
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stranger's plugin that lies in a folder on sys.path, as after `pip install -e`."""
    folder = tmp_path / "plugin"
    (folder / "odd-1.0.dist-info").mkdir(parents=True)
    (folder / "odd-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (folder / "odd-1.0.dist-info/entry_points.txt").write_text("[genever]\nodd = odd_parts\n")
    (folder / "odd_parts").mkdir()
    (folder / "odd_parts/__init__.py").write_text(PLUGIN)
    (folder / "unrelated.py").touch()
    monkeypatch.delitem(sys.modules, "odd_parts", raising=False)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_snapshot_is_what_a_job_imports(root: Path, plugin: Path) -> None:
    code = freeze_code(root, load_catalog())
    script = "import genever.launch as a, genever_plugins.loss as b, odd_parts as c; print(*(m.__file__ for m in (a, b, c)))"
    env = {"PYTHONPATH": f"{code}:{plugin}", "PATH": ""}
    done = subprocess.run([sys.executable, "-P", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert all(Path(file).is_relative_to(code) for file in done.stdout.split())


def test_snapshot_leaves_out_what_is_not_code_of_a_plugin(root: Path, plugin: Path) -> None:
    code = freeze_code(root, load_catalog())
    assert {file.name for file in code.iterdir()} == {"genever", "genever_plugins", "odd_parts"}
    assert not [*code.rglob("__pycache__")]


def test_same_code_is_copied_once(root: Path, plugin: Path) -> None:
    first = freeze_code(root, load_catalog())
    assert freeze_code(root, load_catalog()) == first
    (plugin / "odd_parts/__init__.py").write_text(PLUGIN + "# changed\n")
    assert freeze_code(root, load_catalog()) != first
    assert len([*(root / ".code").iterdir()]) == 2
