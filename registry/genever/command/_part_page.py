"""One part, as a page of text."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from genever.command._columns import columns, paragraph
from genever.slots import SLOTS

if TYPE_CHECKING:
    from genever.parts import Catalog, Parameter, Surface

__all__ = ["example", "page"]

_SIGNS = {"Gt": ">", "Ge": "≥", "Lt": "<", "Le": "≤", "MinLen": "length ≥", "MaxLen": "length ≤"}
_SAMPLES = {"str": "'...'", "RunName": "'...'", "bool": "True", "int": "1000", "float": "1.0"}


def page(catalog: Catalog, surface: Surface) -> str:
    """What a part says of itself: words, parameters, abilities, sources, who provides it, and how to bind it."""
    blocks = [f"{surface.name}\n{_origin(catalog, surface)}", _words(surface.doc)]
    rows = [_row(surface, parameter) for parameter in surface.parameters]
    if surface.accepts_any:
        rows.append(("**", "any", "", "further keywords"))
    head = ("NAME", "TYPE", "DEFAULT", "MEANING")
    blocks.append(f"Parameters\n{columns([head, *rows], widest=24)}" if rows else "It has no parameters.")
    for title, entries in (
        ("Provides", surface.provides),
        ("Needs", surface.needs),
        ("Measures", [_measured(name, better) for name, better in (surface.measures or {}).items()]),
        ("Does not change the result", surface.infrastructure),
        ("Taken over from the run that `train.start` names, where a file is silent", surface.inherited),
    ):
        if entries:
            blocks.append(f"{title}\n{paragraph(', '.join(entries))}")
    if surface.references:
        blocks.append("Source\n" + "\n".join(paragraph(entry) for entry in surface.references))
    blocks.append("In a gin file\n" + "\n".join(f"  {line}" for line in example(catalog, surface)))
    return "\n\n".join(blocks)


def example(catalog: Catalog, surface: Surface) -> tuple[str, ...]:
    """Lines of gin that put a part in its place and set what it needs."""
    if surface.name == "train":
        return tuple(f"train.{one.name} = {_value(catalog, one)}" for one in surface.parameters if _asked(surface, one))
    used = _shortest(catalog, surface.name)
    own = [one for one in surface.parameters if one.name not in surface.defaults]
    shown = [one for one in own if one.required] or own[:1]
    bindings = (f"{used}.{one.name} = {_value(catalog, one)}" for one in shown)
    return (_place(catalog, surface.slot, f"@{used}()"), *bindings)


def _measured(name: str, better: str | None) -> str:
    return f"{name} ({better} is better)" if better else name


def _asked(surface: Surface, parameter: Parameter) -> bool:
    return parameter.required and parameter.name not in surface.defaults


def _place(catalog: Catalog, slot: str, value: str) -> str:
    """The first parameter that takes a part of this slot: of the stage, else of another part."""
    for surface in (catalog.stage, *_surfaces(catalog)):
        for parameter in surface.parameters:
            if _takes(parameter, slot):
                whose = "train" if surface.name == "train" else _shortest(catalog, surface.name)
                return f"{whose}.{parameter.name} = {_wrapped(parameter.annotation, value)}"
    return f"example/{slot}.value = {value}"


def _takes(parameter: Parameter, slot: str) -> bool:
    """Whether a parameter takes a part of a slot; a class of that name with a path is a stranger's."""
    return re.search(rf"(?<![.\w]){slot.capitalize()}\b(?!\.)", parameter.annotation) is not None


def _surfaces(catalog: Catalog) -> list[Surface]:
    broken = {name for report in catalog.reports for name in catalog.broken_parts(report)}
    return [catalog.surface(name) for name in catalog.names() if name not in broken]


def _wrapped(annotation: str, value: str) -> str:
    annotation = annotation.removeprefix("Annotated[")
    if annotation.startswith("Mapping["):
        return f"{{'name': {value}}}"
    return f"[{value}]" if annotation.startswith(("Sequence[", "tuple[", "list[")) else value


def _value(catalog: Catalog, parameter: Parameter) -> str:
    """The default where it has one, else something of the right type."""
    if parameter.default is not None and _is_gin(parameter.default):
        return parameter.default
    if choices := re.search(r"Literal\[([^\],]+)", parameter.annotation):
        return choices[1]
    for slot in SLOTS:
        if _takes(parameter, slot):
            names = [name for name in catalog.names() if name.startswith(f"{slot}.")]
            part = _shortest(catalog, names[0]) if names else slot.capitalize()
            return _wrapped(parameter.annotation, f"@{part}()")
    found = re.search(r"\b(str|RunName|bool|int|float)\b", parameter.annotation)
    return _wrapped(parameter.annotation, _SAMPLES[found[1]] if found else "None")


def _is_gin(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _shortest(catalog: Catalog, name: str) -> str:
    bare = name.partition(".")[2]
    return bare if len(catalog.find(bare)) == 1 else name


def _origin(catalog: Catalog, surface: Surface) -> str:
    whose = "" if surface.name == "train" else f" of {catalog.provider(surface.name)}"
    return f"{surface.kind}{whose}, {surface.file}:{surface.line}"


def _words(doc: str) -> str:
    """The docstring without the sections that the page shows in its own way."""
    return re.sub(r"(?ms)^(Args|Arguments|References):[ \t]*\n(?:[ \t]+.*\n?|\n)*", "", doc + "\n").strip()


def _row(surface: Surface, parameter: Parameter) -> tuple[str, str, str, str]:
    default = parameter.default if parameter.default is not None else "(required)"
    if parameter.name in surface.defaults:
        default = f"@{surface.defaults[parameter.name].partition('.')[2]}()"
    return (parameter.name, _type(parameter.annotation), default, parameter.doc)


def _type(annotation: str) -> str:
    """'float > 0 | None' for 'Annotated[float, Gt(0)] | None'."""
    try:
        return _type_of(ast.parse(annotation, mode="eval").body) if annotation else ""
    except SyntaxError:
        return annotation


def _type_of(node: ast.expr) -> str:
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{_type_of(left)} | {_type_of(right)}"
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[first, *rest])):
            return f"{_type_of(first)} {', '.join(map(_limit, rest))}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            one_of = choices.elts if isinstance(choices, ast.Tuple) else [choices]
            return " | ".join(ast.unparse(choice) for choice in one_of)
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=inner)):
            return f"{name}[{', '.join(map(_type_of, inner))}]"
        case ast.Subscript(value=ast.Name(id=name), slice=inner):
            return f"{name}[{_type_of(inner)}]"
        case _:
            return ast.unparse(node)


def _limit(node: ast.expr) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[value]) if name in _SIGNS:
            return f"{_SIGNS[name]} {ast.unparse(value)}"
        case ast.Call(func=ast.Name(id="Interval"), keywords=words):
            return ", ".join(f"{_SIGNS[(word.arg or '').capitalize()]} {ast.unparse(word.value)}" for word in words)
        case ast.Call(func=ast.Name(id="Len"), args=[low, high]) if ast.unparse(low) == ast.unparse(high):
            return f"length {ast.unparse(low)}"
        case _:
            return ast.unparse(node)
