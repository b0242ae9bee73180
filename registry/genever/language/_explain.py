"""Where each value of an experiment comes from, what it replaced, and what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gin.config_parser import parse_binding_key

from genever.errors import UserError, did_you_mean
from genever.language._annotations import kind_of
from genever.language._composition import Composition, Node, compose
from genever.language._config import Binding, Config, MacroBinding
from genever.language._parts import Parts, parts_of
from genever.language._values import source
from genever.parts import Catalog, Parameter

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """One value.

    Args:
        key: such as 'train.steps' or 'critic/optimizer.AdamW.lr'.
        value: gin text; None = it must be set and is not.
        origin: 'file', '-b', 'start' or 'default'.
        place: 'file:line', or '' for a default.
        replaced: values that it overrode, the oldest first, as (gin text, 'file:line').
        macros: those that went into it, as (name, 'file:line').
        has_effect: whether a part that `train` reaches gets it.
        annotation: the parameter's type, as source text.
        wanted: the same in words.
        default: source text; None = there is none.
        meaning: what the part's author says of it.
    """

    key: str
    value: str | None
    origin: str
    place: str = ""
    replaced: tuple[tuple[str, str], ...] = ()
    macros: tuple[tuple[str, str], ...] = ()
    has_effect: bool = True
    annotation: str = ""
    wanted: str = ""
    default: str | None = None
    meaning: str = ""


def explain(config: Config, catalog: Catalog, key: str | None = None) -> list[Explanation]:
    """The values of a config.

    Args:
        key: a parameter, a part or a macro, by its full or bare name. None = everything that is composed.

    Raises:
        UserError: nothing is called so.
    """
    parts = parts_of(catalog)
    composition = compose(config.bindings, parts)
    everything = [*_composed(composition, parts), *_idle(config, composition, parts)]
    if key is None:
        return [found for found in everything if found.has_effect]
    if found := [one for one in everything if _is_meant(one.key, key, parts)]:
        return found
    if key.lstrip("%") in config.macros:
        return [_of_macro(config.macros[key.lstrip("%")])]
    names = [*(one.key for one in everything), *config.macros]
    hint = did_you_mean(key, names) or f" 'genever explain {config.file}' lists all values."
    raise UserError(f"{config.file} composes nothing that is called {key!r}.{hint}")


def _composed(composition: Composition, parts: Parts) -> Iterator[Explanation]:
    """Every parameter of every part that is built, set or not."""
    seen: set[str] = set()
    for node, values in composition.values.items():
        surface = parts.readable(node.part)
        known = {parameter.name: parameter for parameter in surface.parameters} if surface else {}
        for name in dict.fromkeys([*known, *values]):
            found = _of_parameter(node, name, values.get(name), known.get(name))
            if found.key not in seen:
                seen.add(found.key)
                yield found


def _of_parameter(node: Node, name: str, binding: Binding | None, parameter: Parameter | None) -> Explanation:
    if binding is not None:
        return _of_binding(binding, parameter)
    assert parameter is not None
    return Explanation(
        key=f"{node.part}.{name}",
        value=parameter.default,
        origin="default",
        annotation=parameter.annotation,
        wanted=kind_of(parameter.annotation).wanted,
        default=parameter.default,
        meaning=parameter.doc,
    )


def _of_binding(binding: Binding, parameter: Parameter | None, has_effect: bool = True) -> Explanation:
    return Explanation(
        key=str(binding.key),
        value=binding.source,
        origin=binding.origin,
        place="" if binding.origin == "default" else str(binding.place),
        replaced=tuple((old.source, str(old.place)) for old in binding.replaced),
        macros=tuple((macro.name, str(macro.place)) for macro in binding.macros),
        has_effect=has_effect,
        annotation=parameter.annotation if parameter else "",
        wanted=kind_of(parameter.annotation).wanted if parameter else "",
        default=parameter.default if parameter else None,
        meaning=parameter.doc if parameter else "",
    )


def _idle(config: Config, composition: Composition, parts: Parts) -> Iterator[Explanation]:
    """Bindings that no part gets."""
    for binding in config.bindings.values():
        if binding not in composition.effective:
            surface = parts.readable(binding.key.part)
            yield _of_binding(binding, surface.parameter(binding.key.parameter) if surface else None, has_effect=False)


def _of_macro(macro: MacroBinding) -> Explanation:
    return Explanation(
        key=macro.name,
        value=source(macro.value),
        origin="file",
        place=str(macro.place),
        replaced=tuple((source(old.value), str(old.place)) for old in macro.replaced),
        meaning=f"a macro; %{macro.name} stands for its value.",
    )


def _is_meant(key: str, asked: str, parts: Parts) -> bool:
    """Whether a key is the one that is asked for, or belongs to the part that is."""
    scope, part, parameter = parse_binding_key(key)
    if parts.full_name(asked) == part:
        return True
    asked_scope, asked_part, asked_parameter = parse_binding_key(asked) if asked else ("", "", "")
    return parameter == asked_parameter and parts.full_name(asked_part) == part and asked_scope in ("", scope)
