"""Python source as definitions by name, and where an imported name leads, without importing anything."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import ModuleSpec

__all__ = ["Found", "Module", "Sources", "Stamp", "UnreadableError", "find_file", "stamp_of"]

Stamp = tuple[int, int]


class UnreadableError(Exception):
    """A target does not exist, or its source cannot be read."""


@dataclass(frozen=True)
class Module:
    """One parsed module.

    Args:
        definitions: the classes, functions and assigned expressions at its top level.
        imports: the dotted path that each imported name stands for.
    """

    name: str
    file: str
    definitions: dict[str, ast.AST]
    imports: dict[str, str]


@dataclass(frozen=True)
class Found:
    """Where a name is defined."""

    module: Module
    node: ast.AST


@dataclass
class Sources:
    """The modules that one reading looks into.

    Args:
        stamps: every file that was read, and what it was then.
    """

    stamps: dict[str, Stamp] = field(default_factory=dict)

    def read(self, name: str) -> Module:
        """A module.

        Raises:
            UnreadableError: there is no such module, or it is not readable Python.
        """
        file = find_file(name)
        self.stamps[file] = stamp = stamp_of(file)
        return _parse(name, file, stamp)

    def module(self, name: str) -> Module | None:
        """A module; None where there is no readable source of it."""
        try:
            return self.read(name)
        except UnreadableError:
            return None

    def path(self, module: Module, dotted: str) -> str:
        """The full dotted path of a name that is used in a module; a name that it does not know stays as it is."""
        first, _, rest = dotted.partition(".")
        if first in module.imports:
            return f"{module.imports[first]}.{rest}".rstrip(".")
        return f"{module.name}.{dotted}" if first in module.definitions else dotted

    def find(self, path: str, *, _seen: frozenset[str] = frozenset()) -> Found | None:
        """The definition at a full dotted path, through re-exports; None where it cannot be followed."""
        parts = path.split(".")
        if path in _seen or parts[0] in sys.stdlib_module_names:
            return None
        for split in range(len(parts) - 1, 0, -1):
            module = self.module(".".join(parts[:split]))
            if module is None:
                continue
            name, inner = parts[split], parts[split + 1 :]
            if name in module.definitions:
                return _inside(Found(module, module.definitions[name]), inner)
            if name in module.imports:
                return self.find(".".join([module.imports[name], *inner]), _seen=_seen | {path})
        return None


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


@lru_cache(maxsize=None)
def _parse(name: str, file: str, stamp: Stamp) -> Module:
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read(), filename=file)
    except SyntaxError as error:
        raise UnreadableError(f"{file}:{error.lineno}: {error.msg}.") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{file} cannot be read: {error}.") from error
    package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
    module = Module(name, file, {}, {})
    for statement in _statements(tree.body):
        _enter(module, statement, package)
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module's top level, those under `if TYPE_CHECKING` and `try` too."""
    for statement in body:
        yield statement
        for branch in ("body", "orelse", "handlers", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try, ast.ExceptHandler)):
                yield from _statements(getattr(statement, branch, []))


def _enter(module: Module, statement: ast.stmt, package: str) -> None:
    match statement:
        case ast.ClassDef() | ast.FunctionDef():
            module.definitions[statement.name] = statement
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            module.definitions[name] = value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            module.definitions[name] = value
        case ast.Import(names=names):
            for alias in names:
                first = alias.name.partition(".")[0]
                module.imports[alias.asname or first] = alias.name if alias.asname else first
        case ast.ImportFrom(module=source, names=names, level=level):
            above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            start = ".".join([*above, *([source] if source else [])])
            for alias in names:
                module.imports[alias.asname or alias.name] = f"{start}.{alias.name}"
        case _:
            pass


def _inside(found: Found, path: list[str]) -> Found | None:
    """A class inside a class."""
    for name in path:
        body = found.node.body if isinstance(found.node, ast.ClassDef) else []
        inner = [node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name]
        if not inner:
            return None
        found = Found(found.module, inner[-1])
    return found
