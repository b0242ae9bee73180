"""Strangers' plugins: modules and a dist-info in a folder on sys.path, as pip would leave them."""

from __future__ import annotations

import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Install = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GENEVER_CACHE", str(folder))
    monkeypatch.delenv("GENEVER_PLUGINS", raising=False)
    return folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("acme", hook="...", parts="...")`: a package of that name, and a distribution whose entry point it is."""
    site, written = tmp_path / "site", set[str]()
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def write(name: str, *, hook: str = "", init: str | None = None, entry: str | None = None, **modules: str) -> Path:
        written.add(name)
        package = site / name
        package.mkdir()
        if init is None:
            init = f"from genever import hookimpl\n\n@hookimpl\ndef register_parts(registry):\n    {hook or 'pass'}\n"
        (package / "__init__.py").write_text(textwrap.dedent(init))
        for module, text in modules.items():
            (package / f"{module}.py").write_text(textwrap.dedent(text))
        info = site / f"{name}_dist-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[genever]\n{entry or name} = {name}\n")
        importlib.invalidate_caches()
        return package

    yield write
    for module in [one for one in sys.modules if one.partition(".")[0] in written]:
        del sys.modules[module]
