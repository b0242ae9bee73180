"""What reaches a user's site-packages, and what it promises there."""

import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ROOMS = {"genever": ROOT / "registry/genever", "genever_plugins": ROOT / "plugins/genever_plugins"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(_read(wheel, "METADATA"))


@pytest.fixture(scope="module")
def entry_points(wheel: zipfile.ZipFile) -> ConfigParser:
    parser = ConfigParser(delimiters=("=",))
    parser.read_string(_read(wheel, "entry_points.txt"))
    return parser


def test_wheel_holds_two_import_names_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    found = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in found if not name.endswith(".dist-info")} == {"genever", "genever_plugins"}
    assert len(found) == 3


@pytest.mark.parametrize("package", ROOMS)
def test_wheel_holds_every_source_and_tells_type_checkers(wheel: zipfile.ZipFile, package: str) -> None:
    room = ROOMS[package]
    sources = {
        f"{package}/{file.relative_to(room)}"
        for file in room.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {name for name in wheel.namelist() if name.startswith(f"{package}/")} == sources
    assert f"{package}/py.typed" in sources


def test_entry_points_are_the_folders_with_a_hook(entry_points: ConfigParser) -> None:
    hooks = {file.parent.name for file in ROOMS["genever_plugins"].glob("*/__init__.py") if "@hookimpl" in file.read_text()}
    promised = {f"genever-{slot}": f"genever_plugins.{slot}" for slot in hooks}
    assert dict(entry_points["genever"]) == promised


def test_every_folder_of_parts_has_a_hook() -> None:
    silent = [
        folder.name
        for folder in ROOMS["genever_plugins"].iterdir()
        if list(folder.glob("[!_]*.py")) and "@hookimpl" not in (folder / "__init__.py").read_text()
    ]
    assert not silent


def test_command_is_installed(entry_points: ConfigParser) -> None:
    assert dict(entry_points["console_scripts"]) == {"genever": "genever.command:main"}


def test_metadata_says_what_the_package_says(metadata: Message) -> None:
    from genever import __version__

    assert metadata["Name"] == "genever"
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"]


def test_every_dependency_is_pinned_within_its_range(metadata: Message) -> None:
    pins = _pins()
    for requirement in map(Requirement, [*metadata.get_all("Requires-Dist", []), *_build_requirements()]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_pins_are_exact_and_name_no_machine() -> None:
    lines = (ROOT / "tools/constraints.txt").read_text().splitlines()
    assert "tools/setup --renew" in lines[0]
    odd = [line for line in lines[1:] if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.+!]*", line)]
    assert not odd


def _read(wheel: zipfile.ZipFile, name: str) -> str:
    (path,) = [path for path in wheel.namelist() if path.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def _pins() -> dict[str, str]:
    lines = (ROOT / "tools/constraints.txt").read_text().splitlines()[1:]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def _build_requirements() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
