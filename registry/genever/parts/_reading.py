"""From a target 'module:Name' to its surface, by reading its source."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from typing import Any

from genever.parts._annotations import annotation_text, default_text, dotted_name
from genever.parts._docstring import parse_docstring
from genever.parts._files import UnreadableError
from genever.parts._source import Found, Sources
from genever.parts._surface import Parameter, Surface

__all__ = ["read_surface"]

#: Class attributes that say something about a part.
_FACTS = ("provides", "needs", "measures", "infrastructure", "defaults", "inherited")
#: One need, or one of several with '|' between.
_NEED = re.compile(r"start\.\w+\.\w+|(?!start\.)\w+\.\w+|(?:train|self)\.\w+=(.+)")


def read_surface(target: str, *, name: str, slot: str, sources: Sources) -> Surface:
    """The surface of a target, without importing it.

    Raises:
        UnreadableError: there is no such module, class or function, or what it says of itself is not a literal of its form.
    """
    found = _definition(sources, target)
    reading = _Reading(sources)
    constructor = reading.constructor(found)
    assert isinstance(found.node, (ast.ClassDef, ast.FunctionDef))
    doc = ast.get_docstring(found.node) or ""
    words = parse_docstring(doc)
    return Surface(
        name=name,
        slot=slot,
        kind="class" if isinstance(found.node, ast.ClassDef) else "function",
        summary=words.summary,
        doc=doc,
        references=words.references,
        parameters=tuple(replace(one, doc=reading.words.get(one.name, "")) for one in constructor.parameters.values()),
        accepts_any=constructor.accepts_any,
        file=found.module.file,
        line=found.node.lineno,
        **reading.facts,
    )


def _definition(sources: Sources, target: str) -> Found:
    home, _, path = target.partition(":")
    module = sources.read(home)
    found = sources.find(f"{home}.{path}")
    while found and (alias := dotted_name(found.node)):
        found = sources.find(sources.path(found.module, alias))
    if found and isinstance(found.node, (ast.ClassDef, ast.FunctionDef)):
        return found
    raise UnreadableError(f"There is no class or function {path!r} in {module.file}.")


@dataclass
class _Constructor:
    parameters: dict[str, Parameter] = field(default_factory=dict)
    accepts_any: bool = False


@dataclass
class _Reading:
    """What a class and its bases say, the bases first.

    Args:
        words: the meaning of each parameter.
        facts: the class attributes.
    """

    sources: Sources
    words: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def constructor(self, found: Found) -> _Constructor:
        if isinstance(found.node, ast.ClassDef):
            return self._class(found, found.node, {}) or _Constructor()
        assert isinstance(found.node, ast.FunctionDef)
        return self._function(found, found.node)

    def _class(self, found: Found, node: ast.ClassDef, fields: dict[str, Parameter]) -> _Constructor | None:
        """The constructor that a class has or inherits; `fields` gathers those of the dataclasses among its bases."""
        constructor = None
        for base in reversed(self._bases(found, node)):
            assert isinstance(base.node, ast.ClassDef)
            constructor = self._class(base, base.node, fields) or constructor
        self.words.update(parse_docstring(ast.get_docstring(node) or "").arguments)
        is_dataclass = self._is_dataclass(found, node)
        self._take_facts(found, node, is_dataclass)
        if is_dataclass:
            self._take_fields(found, node, fields)
            constructor = _Constructor(dict(fields))
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                constructor = self._function(found, statement, own=1)
        return constructor

    def _function(self, found: Found, node: ast.FunctionDef, own: int = 0) -> _Constructor:
        """The keywords of a function; its first `own` arguments, and what has only a position, cannot be bound."""
        self.words.update(parse_docstring(ast.get_docstring(node) or "").arguments)
        said = node.args
        places = [*said.posonlyargs, *said.args]
        defaults = [*[None] * (len(places) - len(said.defaults)), *said.defaults]
        hidden = max(own, len(said.posonlyargs))
        pairs = zip([*places[hidden:], *said.kwonlyargs], [*defaults[hidden:], *said.kw_defaults], strict=True)
        parameters = {one.arg: self._parameter(found, one.arg, one.annotation, default) for one, default in pairs}
        return _Constructor(parameters, accepts_any=said.kwarg is not None)

    def _parameter(self, found: Found, name: str, annotation: ast.expr | None, default: ast.expr | None) -> Parameter:
        return Parameter(
            name=name,
            annotation=annotation_text(self.sources, found.module, annotation),
            required=default is None,
            default=None if default is None else default_text(self.sources, found.module, default),
        )

    def _take_fields(self, found: Found, node: ast.ClassDef, fields: dict[str, Parameter]) -> None:
        for statement in node.body:
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            annotation, name = statement.annotation, statement.target.id
            kind = self._head(found, annotation)
            if kind in ("typing.ClassVar", "dataclasses.KW_ONLY"):
                continue
            if kind == "dataclasses.InitVar" and isinstance(annotation, ast.Subscript):
                annotation = annotation.slice
            init, default = self._field(found, statement.value)
            if init:
                fields[name] = self._parameter(found, name, annotation, default)
            else:
                fields.pop(name, None)

    def _field(self, found: Found, value: ast.expr | None) -> tuple[bool, ast.expr | None]:
        """Whether a field is a parameter, and its default."""
        if not isinstance(value, ast.Call) or self._path(found, value.func) != "dataclasses.field":
            return True, value
        said = {keyword.arg: keyword.value for keyword in value.keywords}
        init, factory = said.get("init"), said.get("default_factory")
        is_parameter = not (isinstance(init, ast.Constant) and init.value is False)
        return is_parameter, ast.Call(factory, [], []) if factory else said.get("default")

    def _take_facts(self, found: Found, node: ast.ClassDef, is_dataclass: bool) -> None:
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value):
                    # Of a dataclass, any other would be a parameter that is called like a fact.
                    is_fact = name in _FACTS and (not is_dataclass or self._head(found, annotation) == "typing.ClassVar")
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    is_fact = name in _FACTS
                case _:
                    continue
            if is_fact:
                self.facts[name] = _fact(name, value, node)

    def _bases(self, found: Found, node: ast.ClassDef) -> list[Found]:
        heads = [base.value if isinstance(base, ast.Subscript) else base for base in node.bases]
        bases = [self.sources.find(path) for head in heads if (path := self._path(found, head))]
        return [base for base in bases if base and isinstance(base.node, ast.ClassDef) and base.node is not node]

    def _is_dataclass(self, found: Found, node: ast.ClassDef) -> bool:
        heads = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
        return any(self._path(found, head) == "dataclasses.dataclass" for head in heads)

    def _head(self, found: Found, annotation: ast.expr) -> str | None:
        """The path of what an annotation is, without what stands in its brackets."""
        return self._path(found, annotation.value if isinstance(annotation, ast.Subscript) else annotation)

    def _path(self, found: Found, node: ast.AST) -> str | None:
        dotted = dotted_name(node)
        return self.sources.path(found.module, dotted) if dotted else None


def _fact(name: str, value: ast.expr, node: ast.ClassDef) -> object:
    what = f"{node.name}.{name}"
    said = _literal(value, what)
    if name == "measures":
        return _measures(said, what)
    if name == "defaults":
        return _defaults(said, what)
    if not isinstance(said, tuple | list) or not all(isinstance(one, str) for one in said):
        raise UnreadableError(f"{what} is {said!r}. Write a tuple of texts, such as ('one',), with its comma.")
    for need in said if name == "needs" else ():
        _refuse_malformed(need, what)
    return tuple(said)


def _literal(value: ast.expr, what: str) -> object:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError):
        raise UnreadableError(f"{what} is not a literal. Spell it out, without names or sums.") from None


def _measures(said: object, what: str) -> dict[str, str | None]:
    if not isinstance(said, dict) or not all(better in ("lower", "higher", None) for better in said.values()):
        raise UnreadableError(
            f"{what} is {said!r}. Write each number and which end of it is better, such as {{'fd': 'lower'}}; "
            "None = neither is."
        )
    return said


def _defaults(said: object, what: str) -> dict[str, str]:
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in (*said, *said.values())):
        raise UnreadableError(f"{what} is {said!r}. Write each parameter and its part, such as {{'path': 'path.Linear'}}.")
    return said


def _refuse_malformed(need: str, what: str) -> None:
    for one in need.split("|"):
        form = _NEED.fullmatch(one.strip())
        if form is None or (form[1] and not _is_literal(form[1])):
            raise UnreadableError(
                f"{what} holds {one.strip()!r}. Write 'slot.ability', 'start.slot.ability', 'self.parameter' or "
                "'self.parameter=value' with a literal for the value, and '|' between those of which one is enough."
            )


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True
