"""What the README shows works.

Its fenced blocks are tried in their order, in a folder that holds a copy of `experiments/`:

- `gin`: `genever check` finds nothing wrong with it.
- `python`: runs on its own, beside the files that blocks above it are.
- `sh`, `console`: each command that starts with `genever` or `tools/` (after an optional `$ `). `genever check`, `parts`,
  `plugins`, `explain`, `resolve` and whatever ends with `--help` run; of the other verbs the arguments must be understood
  and the files that they name be there; a tool must be there, executable.

Any other language is left alone. An HTML comment on the line above a block says more:

- `<!-- as acme/parts.py -->`: the block is that file. A gin block is checked, and a python block imported, as that file.
- `<!-- fragment -->`: the block is a part of something, and left alone.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = ("check", "parts", "plugins", "explain", "resolve")
FENCE = re.compile(r"^(?:<!-- *(?P<note>.*?) *-->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; `file` is what its comment says that it is."""

    language: str
    text: str
    line: int
    file: str | None = None
    fragment: bool = False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "experiments", tmp_path / "experiments")
    return tmp_path


def test_readme_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    failures = [f"README.md:{block.line}: {failure}" for block in _blocks(_readme()) for failure in _try(block)]
    assert not failures, "\n\n".join(failures)


def test_readme_names_only_files_that_are_there() -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", _readme())
    assert not [link for link in links if not (ROOT / link).exists()]


@pytest.mark.parametrize(
    ("block", "failure"),
    [
        ("```python\nraise SystemExit('no')\n```", "no"),
        ("```gin\ntrain.backbon = 1\n```", "backbon"),
        ("```sh\ntools/nothing\n```", "tools/nothing"),
        ("```console\n$ genever frobnicate\n```", "frobnicate"),
        ("```sh\ngenever run nothing.gin\n```", "nothing.gin"),
        ("```sh\ngenever parts --nothing\n```", "--nothing"),
        ("```sh\ngenever run experiments/digits/pretrain.gin --nothing\n```", "--nothing"),
    ],
)
def test_readme_test_notices_what_does_not_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch, block: str, failure: str
) -> None:
    monkeypatch.chdir(folder)
    (tried,) = _blocks(block + "\n")
    assert any(failure in found for found in _try(tried))


def test_readme_test_reads_comments_and_joins_lines() -> None:
    text = (
        "<!-- as a/b.py -->\n```python\nx = 1\n```\n<!-- fragment -->\n```gin\ny\n```\n"
        "```sh\n$ genever run \\\n    a.gin  # c\nout\n```\n"
    )
    file, fragment, shell = _blocks(text)
    assert file == Block("python", "x = 1\n", 2, file="a/b.py")
    assert fragment.fragment
    assert list(_commands(shell.text)) == [["genever", "run", "a.gin"]]


def _readme() -> str:
    return (ROOT / "README.md").read_text()


def _blocks(text: str) -> list[Block]:
    return [_block(found, text.count("\n", 0, found.start("language")) + 1) for found in FENCE.finditer(text)]


def _block(found: "re.Match[str]", line: int) -> Block:
    note = found["note"] or ""
    file = note.removeprefix("as ") if note.startswith("as ") else None
    return Block(found["language"], found["text"], line, file, fragment=note == "fragment")


def _try(block: Block) -> list[str]:
    """What does not work about a block."""
    tries: dict[str, Callable[[Block], list[str]]] = {
        "gin": _try_gin,
        "python": _try_python,
        "sh": _try_shell,
        "console": _try_shell,
    }
    if block.fragment or block.language not in tries:
        return []
    return tries[block.language](block)


def _try_gin(block: Block) -> list[str]:
    return _run([sys.executable, "-m", "genever", "check", _write(block, "readme.gin")])


def _try_python(block: Block) -> list[str]:
    if block.file is None:
        return _run([sys.executable, _write(block, f"readme_{block.line}.py")])
    _write(block, block.file)
    module = block.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return _run([sys.executable, "-c", f"import {module}"])


def _try_shell(block: Block) -> list[str]:
    return [failure for command in _commands(block.text) for failure in _try_command(command)]


def _try_command(command: list[str]) -> list[str]:
    if command[0].startswith("tools/"):
        return [] if os.access(ROOT / command[0], os.X_OK) else [f"{command[0]} is not an executable file"]
    missing = [word for word in command if word.endswith(".gin") and not Path(word).exists()]
    if missing:
        return [f"{word} is not there" for word in missing]
    if command[-1] == "--help" or (len(command) > 1 and command[1] in QUICK):
        return _run([sys.executable, "-m", *command])
    return _parse(command[1:])


def _parse(arguments: list[str]) -> list[str]:
    """Whether a verb understands its arguments: everything happens but the verb itself."""
    from genever import command

    with pytest.MonkeyPatch.context() as patch:
        for module, _ in command.VERBS.values():
            if (Path(command.__file__).parent / f"{module}.py").exists():
                patch.setattr(import_module(f"genever.command.{module}"), "run", lambda arguments: 0)
        try:
            code = command.main(arguments)
        except SystemExit as stopped:
            code = stopped.code
    return [f"`genever {shlex.join(arguments)}` is not understood"] if code else []


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        words = line.removeprefix("$ ")
        if words.startswith(("genever ", "tools/")):
            yield shlex.split(words, comments=True)


def _write(block: Block, name: str) -> str:
    path = Path(block.file or name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)
    return str(path)


def _run(command: list[str]) -> list[str]:
    here = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": here})
    return [f"{shlex.join(command)} -> {done.returncode}\n{done.stdout}{done.stderr}"] if done.returncode else []
