"""The rules of the house that no linter knows."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "registry/genever"
PLUGINS = ROOT / "plugins/genever_plugins"
ROOMS = ("registry", "plugins", "experiments", "tests", "tools")
SLOW = ("torch", "torchvision", "diffusers", "peft", "transformers", "scipy", "sklearn")


def test_core_never_imports_plugins() -> None:
    assert not [use for use in _imports(CORE) if use.module.split(".")[0] == "genever_plugins"]


def test_plugin_never_imports_another_plugin() -> None:
    def is_foreign(use: "Import") -> bool:
        own = ".".join(["genever_plugins", *use.file.relative_to(PLUGINS).parts[:1]])
        return use.module.startswith("genever_plugins") and not f"{use.module}.".startswith(f"{own}.")

    assert not [use for use in _imports(PLUGINS) if is_foreign(use)]


def test_plugin_imports_only_public_modules_of_the_core() -> None:
    assert not [use for use in _imports(PLUGINS) if re.match(r"genever\.(.*\.)?_", use.module)]


def test_plugin_never_mentions_gin() -> None:
    assert not [use for use in _imports(PLUGINS) if use.module.split(".")[0] == "gin"]


def test_listing_parts_imports_nothing_slow() -> None:
    plugins = sorted(f"genever_plugins.{folder.parent.name}" for folder in PLUGINS.glob("*/__init__.py"))
    names = ["genever", "genever.parts", "genever.values", "genever.slots", "genever.command", "genever_plugins", *plugins]
    script = f"import sys, {', '.join(names)}\nprint(*sorted(set({SLOW}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("room", ROOMS)
def test_room_is_no_package_of_its_own(room: str) -> None:
    assert not (ROOT / room / "__init__.py").exists()


def test_modules_are_named_after_an_idea() -> None:
    vague = re.compile(r"_?(utils?|common|helpers?|misc|base|manager)\.py")
    assert not [file for file in _files("registry", "plugins") if vague.fullmatch(file.name)]


def test_tools_are_executable_scripts_without_extension() -> None:
    tools = [file for file in (ROOT / "tools").iterdir() if file.is_file() and file.name != "constraints.txt"]
    assert not [file for file in tools if file.suffix or not os.access(file, os.X_OK) or file.read_bytes()[:2] != b"#!"]
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    private = re.compile(r"(?<![\w.)}/-])/(home|root|work|Users|mnt|media|scratch)/\w")
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in [*_files(*ROOMS), *ROOT.glob("*.*"), ROOT / ".ci/run"]
        if file.is_file()
        for number, line in enumerate(_text(file).splitlines(), 1)
        if private.search(line)
    ]
    assert not found


def test_no_file_is_a_pickle() -> None:
    suffixes = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib"}
    assert not [file for file in _files(*ROOMS) if file.suffix in suffixes]


def test_nothing_is_loaded_with_an_unrestricted_unpickler() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}"
        for file in _files("registry", "plugins", "tools")
        for call in _calls(file)
        if ast.unparse(call.func).endswith(("torch.load", "np.load", "pickle.load", "joblib.load"))
        and not _is_restricted(call)
    ]
    assert not found


class Import:
    """One import statement's module, and the file that it stands in."""

    def __init__(self, file: Path, module: str, line: int) -> None:
        self.file, self.module, self.line = file, module, line

    def __repr__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.module}"


def _imports(folder: Path) -> Iterator[Import]:
    """Every module that the files of a folder import, `from a import b` as both a and a.b."""
    for file in sorted(folder.rglob("*.py")):
        here = [folder.name, *file.relative_to(folder).with_suffix("").parts]
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (Import(file, name.name, node.lineno) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = ".".join([*(here[: -node.level] if node.level else []), *filter(None, [node.module])])
                yield from (Import(file, f"{module}.{name.name}", node.lineno) for name in node.names)


def _files(*rooms: str) -> list[Path]:
    found = (file for room in rooms for file in sorted((ROOT / room).rglob("*")))
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]


def _calls(file: Path) -> Iterator[ast.Call]:
    if file.suffix == ".py" or re.match(r"#!.*python", _text(file)):
        yield from (node for node in ast.walk(ast.parse(_text(file))) if isinstance(node, ast.Call))


def _is_restricted(call: ast.Call) -> bool:
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if ast.unparse(call.func).endswith("np.load"):
        return given.get("allow_pickle", "False") == "False"
    return given.get("weights_only") == "True"


def _text(file: Path) -> str:
    return file.read_bytes().decode(errors="replace")
