"""`tools/setup` where something is missing: what it says, and what it does not touch. Nothing here is downloaded."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("bash", "cat", "chmod", "cmp", "dirname", "find", "flock", "grep", "mkdir", "mv", "rm", "sed", "sleep", "touch")

# Debian's Python without its package python3.11-venv.
BARE = """case "$*" in
*ensurepip*) [ -f "$0.venv" ];;
*version_info*2]*) echo python3.11-venv;;
esac"""
# A Python whose `-m venv FOLDER` puts itself there, and whose pip installs nothing.
WHOLE = """case "$*" in
"-m venv "*)
    mkdir -p "$3/bin"
    cat "$0" > "$3/bin/python"
    chmod +x "$3/bin/python"
    echo "command = x -m venv $3" > "$3/pyvenv.cfg";;
"-m pip "*) sleep 0.2;;
"-V") echo Python 3.11.0;;
esac"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone on a machine that has a shell and nothing else."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("pyproject.toml", "tools/setup", "tools/constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    for command in COMMANDS:
        found = shutil.which(command)
        assert found, command
        (tmp_path / "bin" / command).symlink_to(found)
    _put(tmp_path, "id", "echo 1000")
    return tmp_path


def test_setup_says_what_to_install_when_there_is_no_python(checkout: Path) -> None:
    done = _set_up(checkout)
    assert done.returncode == 2
    assert "needs Python 3.11 or newer" in done.stderr
    assert "apt-get install python3 python3-venv" in done.stderr


def test_setup_does_not_take_an_older_python(checkout: Path) -> None:
    _put(checkout, "python3", "exit 1")
    assert _set_up(checkout).returncode == 2


def test_setup_says_the_command_when_ensurepip_is_missing(checkout: Path) -> None:
    _put(checkout, "python3.11", BARE)
    done = _set_up(checkout)
    assert done.returncode == 2
    assert "sudo apt-get install python3.11-venv" in done.stderr


def test_setup_installs_ensurepip_when_it_may(checkout: Path) -> None:
    _put(checkout, "python3.11", BARE)
    _put(checkout, "id", "echo 0")
    _put(checkout, "apt-get", 'echo "apt-get $*"; [ "$1" = update ] || touch "${0%/*}/python3.11.venv"')
    done = _set_up(checkout)
    assert "apt-get install -y python3.11-venv" in done.stderr
    assert "setting up: downloading" in done.stderr


def test_setup_says_so_when_ensurepip_cannot_be_installed(checkout: Path) -> None:
    _put(checkout, "python3.11", BARE)
    _put(checkout, "id", "echo 0")
    _put(checkout, "apt-get", "exit 100")
    done = _set_up(checkout)
    assert done.returncode == 1
    assert "could not install python3.11-venv" in done.stderr


def test_setup_says_so_when_there_is_no_network(checkout: Path) -> None:
    (checkout / "bin/python3.11").symlink_to(Path(sys.executable).resolve())
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = _set_up(checkout, **nowhere, PIP_NO_CACHE_DIR="1")
    assert done.returncode == 1
    assert "there is no network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv/setup.stamp").exists()


def test_setup_refuses_an_unknown_option_with_its_usage(checkout: Path) -> None:
    done = _set_up(checkout, "--fast")
    assert done.returncode == 2
    assert "tools/setup --renew" in done.stderr


def test_setup_replaces_an_installation_that_was_killed(checkout: Path) -> None:
    _finish(checkout)
    (checkout / ".venv/setup.stamp").unlink()
    (checkout / ".venv/setup.unfinished").touch()
    (checkout / ".venv/half").touch()
    _set_up(checkout)
    assert not (checkout / ".venv/half").exists()


@pytest.mark.parametrize("changed", ["pyproject.toml", "tools/constraints.txt"])
def test_setup_updates_in_place_when_what_it_was_made_from_changes(checkout: Path, changed: str) -> None:
    _finish(checkout)
    (checkout / ".venv/kept").touch()
    assert _set_up(checkout).stderr == ""
    with (checkout / changed).open("a") as file:
        file.write("\n")
    assert "up to date" in _set_up(checkout).stderr
    assert (checkout / ".venv/kept").exists()


def test_setup_makes_anew_what_was_made_for_another_folder(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    _finish(checkout)
    moved = tmp_path_factory.mktemp("elsewhere") / "genever"
    checkout.rename(moved)
    assert "downloading" in _set_up(moved).stderr


def test_setup_waits_for_another_setup_of_the_same_folder(checkout: Path) -> None:
    _put(checkout, "python3.11", WHOLE)
    running = [_start(checkout) for _ in range(2)]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted("downloading" in text for text in said) == [False, True]
    assert sum("waiting for another" in text for text in said) == 1


def _finish(checkout: Path) -> None:
    _put(checkout, "python3.11", WHOLE)
    assert _set_up(checkout).returncode == 0
    assert (checkout / ".venv/setup.stamp").exists()


def _put(checkout: Path, name: str, script: str) -> None:
    program = checkout / "bin" / name
    program.write_text(f"#!/bin/bash\n{script}\n")
    program.chmod(0o755)


def _set_up(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    process = _start(checkout, *arguments, **environment)
    stdout, stderr = process.communicate(timeout=60)
    assert stdout == ""
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def _start(checkout: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    environment |= {"PATH": str(checkout / "bin"), "HOME": str(checkout)}
    return subprocess.Popen(
        [checkout / "tools/setup", *arguments], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
