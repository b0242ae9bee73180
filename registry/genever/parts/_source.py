"""Python source as definitions by name, and where an imported name leads, without importing anything."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import islice

from genever.parts._files import Stamp, UnreadableError, find_file, stamp_of

__all__ = ["Found", "Module", "Sources"]


@dataclass(frozen=True)
class Module:
    """One parsed module.

    Args:
        definitions: the classes, functions and assigned expressions at its top level.
        imports: the dotted path that each imported name stands for.
        stars: the modules of `from module import *`.
    """

    name: str
    file: str
    definitions: dict[str, ast.AST]
    imports: dict[str, str]
    stars: list[str]


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
        if first in module.definitions:
            return f"{module.name}.{dotted}"
        homes = (star for star in module.stars if self.find(f"{star}.{first}"))
        return ".".join([*islice(homes, 1), dotted])

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
            for star in module.stars:
                if found := self.find(".".join([star, name, *inner]), _seen=_seen | {path}):
                    return found
        return None


@cache
def _parse(name: str, file: str, stamp: Stamp) -> Module:
    try:
        with open(file, "rb") as source:
            tree = ast.parse(source.read(), filename=file)
    except SyntaxError as error:
        raise UnreadableError(f"{file}:{error.lineno}: {error.msg}.") from error
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{file} cannot be read: {error}.") from error
    package = name if os.path.basename(file) == "__init__.py" else name.rpartition(".")[0]
    module = Module(name, file, {}, {}, [])
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
                if alias.name == "*":
                    module.stars.append(start)
                else:
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
