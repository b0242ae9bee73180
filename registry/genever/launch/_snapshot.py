"""The code that jobs run from: a copy that editing the original leaves alone."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genever.parts import Catalog

__all__ = ["freeze_code"]


def freeze_code(root: Path, catalog: Catalog) -> Path:
    """Copies genever and every plugin that is not installed for good into `<root>/.code/<hash>/`, for PYTHONPATH.

    What lies in site-packages is left there, and recorded by its version in each run. Of a git checkout, ignored files are
    left out. The same code is copied once.
    """
    files = dict(sorted(_files(catalog)))
    digest = hashlib.sha256()
    contents = {name: file.read_bytes() for name, file in files.items()}
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    frozen = root / ".code" / digest.hexdigest()[:16]
    if not frozen.is_dir():
        aside = frozen.with_name(f".{frozen.name}.{secrets.token_hex(4)}")
        for name, content in contents.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_bytes(content)
        try:
            aside.rename(frozen)
        except OSError:  # Another submission was faster.
            if not frozen.is_dir():
                raise
            shutil.rmtree(aside)
    return frozen.resolve()


def _files(catalog: Catalog) -> Iterator[tuple[str, Path]]:
    """What has to be copied, by its path below a folder on PYTHONPATH."""
    modules = {target.partition(":")[0] for target in catalog.targets.values()}
    modules |= {entry.module for entry in entry_points(group="genever")}
    tops = {module.partition(".")[0] for module in modules} | {"genever"}
    for top in sorted(tops):
        for folder in _import_folders(top):
            yield from ((file.relative_to(folder).as_posix(), file) for file in _listed(folder, top))


def _import_folders(top: str) -> Iterator[Path]:
    """The folder on sys.path that holds a package or module, unless it is where pip installs."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None or spec.origin is None or not spec.has_location:
        return
    place = Path(spec.origin).resolve()
    folder = place.parent.parent if spec.submodule_search_locations else place.parent
    installed = {Path(sysconfig.get_path("stdlib")).resolve(), Path(sysconfig.get_path("purelib")).resolve()}
    if folder not in installed and folder.name not in ("site-packages", "dist-packages"):
        yield folder


def _listed(folder: Path, top: str) -> list[Path]:
    """Every importable file of a checkout that git does not ignore; outside a checkout, those of one package alone."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode == 0:
        files = [folder / name for name in done.stdout.split("\0") if name]
    else:
        files = [folder / f"{top}.py", *(folder / top).rglob("*")]
    return [file for file in files if file.is_file() and _is_importable(file.relative_to(folder), folder)]


def _is_importable(name: Path, folder: Path) -> bool:
    """Whether a file is a module or lies in a package."""
    if "__pycache__" in name.parts:
        return False
    return name.suffix == ".py" if len(name.parts) == 1 else (folder / name.parts[0] / "__init__.py").is_file()
