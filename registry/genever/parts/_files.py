"""The file of a module, found without importing anything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec

__all__ = ["Stamp", "UnreadableError", "find_file", "stamp_of"]

Stamp = tuple[int, int]


class UnreadableError(Exception):
    """A target does not exist, or its source cannot be read."""


def find_file(name: str) -> str:
    """The file of a module; neither it nor a package around it is imported.

    Raises:
        UnreadableError: there is no such module, or it is not written in Python.
    """
    search: Iterable[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for depth, part in enumerate(parts, start=1):
        spec = _find_spec(".".join(parts[:depth]), search)
        if spec is None or (spec.submodule_search_locations is None and depth < len(parts)):
            raise UnreadableError(f"There is no module {name!r}.")
        if spec.origin is None and search is not None:
            # A namespace package asks its parent where it lies, and the parent is not imported.
            search = [os.path.join(folder, part) for folder in search if os.path.isdir(os.path.join(folder, part))]
        else:
            search = spec.submodule_search_locations
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise UnreadableError(f"The module {name!r} has no Python source to read.")
    return spec.origin


def _find_spec(name: str, search: Iterable[str] | None) -> ModuleSpec | None:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None:
        return spec
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None if search is None else list(search))
        if spec is not None:
            return spec
    return None


def stamp_of(file: str) -> Stamp:
    """What tells one state of a file from another."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror}.") from error
    return (found.st_mtime_ns, found.st_size)
