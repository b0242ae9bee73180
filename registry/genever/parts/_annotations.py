"""Annotations and defaults as text that means the same wherever it is read."""

from __future__ import annotations

import ast
import copy

from genever.parts._source import Found, Module, Sources

__all__ = ["annotation_text", "default_text", "dotted_name"]

#: Names of these modules are written bare; any other with its whole path, so that a bare name is never a stranger's.
_BARE = ("annotated_types", "builtins", "collections.abc", "genever.slots", "typing", "typing_extensions")
#: Aliases that say more than the type that they stand for keep their names.
_TELLING = ("genever.values.RunName",)
_BUILTIN = {"Dict": "dict", "FrozenSet": "frozenset", "List": "list", "Set": "set", "Tuple": "tuple", "Type": "type"}


def dotted_name(node: ast.AST) -> str | None:
    """'a.b.c' for a name or a chain of attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted_name(node.value)
        return f"{inner}.{node.attr}" if inner else None
    return None


def annotation_text(sources: Sources, module: Module, node: ast.expr | None) -> str:
    """An annotation with imported names and aliases spelt out."""
    if node is None:
        return ""
    return ast.unparse(_Speller(sources, module, frozenset()).visit(copy.deepcopy(node)))


def default_text(sources: Sources, module: Module, node: ast.expr) -> str:
    """A default, a module's constants spelt out."""
    return ast.unparse(_Constants(sources, module).visit(copy.deepcopy(node)))


class _Constants(ast.NodeTransformer):
    """Names of literal constants become their values."""

    def __init__(self, sources: Sources, module: Module) -> None:
        self.sources = sources
        self.module = module

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._constant(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._constant(node)

    def _constant(self, node: ast.expr) -> ast.AST:
        found = _follow(self.sources, self.module, node)
        return found.node if found and _is_literal(found.node) else node


class _Speller(ast.NodeTransformer):
    """Names become canonical: aliases their meaning, imported names their home's."""

    def __init__(self, sources: Sources, module: Module, seen: frozenset[ast.AST]) -> None:
        self.sources = sources
        self.module = module
        self.seen = seen

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._spelt(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return self._spelt(node) if dotted_name(node) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        # A shape, such as " batch", starts with a space; any other string is a forward reference.
        if not isinstance(node.value, str) or node.value.startswith(" "):
            return node
        try:
            return self.visit(ast.parse(node.value, mode="eval").body)
        except SyntaxError:
            return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Metadata such as Gt(0): its arguments are values, not types."""
        constants = _Constants(self.sources, self.module)
        node.args = [constants.visit(argument) for argument in node.args]
        for keyword in node.keywords:
            keyword.value = constants.visit(keyword.value)
        node.func = self.visit(node.func)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        node.value = self.visit(node.value)
        head = dotted_name(node.value)
        if head == "Literal":
            node.slice = _Constants(self.sources, self.module).visit(node.slice)
            return node
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        rest = self._metadata if head == "Annotated" else self.visit
        inner = [*map(self.visit, inner[:1]), *map(rest, inner[1:])]
        if head in ("Optional", "Union"):
            return _joined([*inner, ast.Constant(None)] if head == "Optional" else inner)
        node.slice = ast.Tuple(inner) if isinstance(node.slice, ast.Tuple) else inner[0]
        return node

    def _metadata(self, node: ast.expr) -> ast.AST:
        return node if isinstance(node, ast.Constant) else self.visit(node)

    def _spelt(self, node: ast.expr) -> ast.AST:
        dotted = dotted_name(node)
        assert dotted is not None
        path = self.sources.path(self.module, dotted)
        home, _, name = path.rpartition(".")
        if path in _TELLING:
            return ast.Name(name)
        if home in _BARE:
            return ast.Name(_BUILTIN.get(name, name) if home.startswith("typing") else name)
        found = self.sources.find(path) if home else None
        if found is None or not isinstance(found.node, ast.expr):
            return ast.Name(_home_of(found, path))
        if found.node in self.seen:
            return ast.Name(path)
        return _Speller(self.sources, found.module, self.seen | {found.node}).visit(copy.deepcopy(found.node))


def _home_of(found: Found | None, path: str) -> str:
    """The path of a class where it is defined, which may be a slot re-exported by somebody else."""
    if found is None or not isinstance(found.node, ast.ClassDef):
        return path
    return found.node.name if found.module.name in _BARE else f"{found.module.name}.{found.node.name}"


def _follow(sources: Sources, module: Module, node: ast.expr) -> Found | None:
    dotted = dotted_name(node)
    return sources.find(sources.path(module, dotted)) if dotted else None


def _is_literal(node: ast.AST) -> bool:
    try:
        ast.literal_eval(node)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return False
    return True


def _joined(types: list[ast.expr]) -> ast.expr:
    whole = types[0]
    for one in types[1:]:
        whole = ast.BinOp(whole, ast.BitOr(), one)
    return whole
