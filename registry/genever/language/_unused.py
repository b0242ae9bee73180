"""What an experiment says in vain: bindings that no part gets, macros that nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from genever.errors import Problem, did_you_mean, nearest
from genever.language._composition import Composition
from genever.language._config import Binding, Config, Key, MacroBinding
from genever.language._parts import ROOT, Parts
from genever.language._values import MacroUse, leaves, shown

__all__ = ["unused_macros", "without_effect"]


def without_effect(config: Config, composition: Composition, parts: Parts, in_doubt: frozenset[str]) -> Iterator[Problem]:
    """Bindings of this file that no part gets, but for those of parts that another took the place of.

    Args:
        in_doubt: slots where it is not known which part was meant; it could have been any.
    """
    entered = {"/".join(node.scopes[:n]) for node in composition.values for n in range(1, len(node.scopes) + 1)}
    given_up = cache(lambda file: _given_up(config, file))
    meant = cache(lambda: _made_of(config, (key.part for key in config.bindings if key.part.partition(".")[0] in in_doubt)))
    for key, binding in config.bindings.items():
        if binding in composition.effective or binding.origin == "start":
            continue
        surface = parts.readable(key.part)
        is_known = surface is not None and surface.parameter(key.parameter) is not None
        if not is_known or key.part in given_up(binding.place.file) or key.part in meant():
            continue
        if key.scope and key.scope not in entered:
            yield _unentered(key, binding, sorted(entered), config)
            continue
        reason = _reason(key, composition)
        yield Problem.at(binding.place, f"{key} has no effect: {reason}. Use it or leave it out.", "warning")


def _reason(key: Key, composition: Composition) -> str:
    """Why no part gets what a key sets."""
    nodes = [node for node in composition.values if node.part == key.part]
    if not nodes:
        return f"train does not reach {key.part}"
    if not any(node.scopes[: len(key.scopes)] == key.scopes for node in nodes):
        return f"{key.part} is not built in the scope {key.scope}/"
    return f"wherever {key.part} is built, a scope sets another value"


def _unentered(key: Key, binding: Binding, entered: list[str], config: Config) -> Problem:
    # A scope that has a value of its own there was not meant: the other part may just be left out for now.
    open_to_it = [f"{scope}/" for scope in entered if replace(key, scope=scope) not in config.bindings]
    close = did_you_mean(key.scope, open_to_it)
    remedy = close or f" Name a part as '@{key.scope}/Name()', or leave the line out."
    return Problem.at(
        binding.place, f"{key}: no part is built in the scope {key.scope}/.{remedy}", "error" if close else "warning"
    )


def _given_up(config: Config, file: str) -> set[str]:
    """Parts that an override in another file replaced, and what they are made of: their bindings are no mistake."""
    overridden = (old for binding in config.bindings.values() if binding.place.file != file for old in binding.replaced)
    return _made_of(config, (reference.part for old in overridden for reference in old.references))


def _made_of(config: Config, parts: Iterable[str]) -> set[str]:
    """Parts, and those that bindings ever gave them, and so on."""
    named: dict[str, set[str]] = {}
    for binding in config.bindings.values():
        for one in (binding, *binding.replaced) if binding.key.part != ROOT else ():
            named.setdefault(one.key.part, set()).update(reference.part for reference in one.references)
    found, waiting = set[str](), [*parts]
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            waiting += named.get(part, ())
    return found


def unused_macros(config: Config, parts: Parts) -> Iterator[Problem]:
    """Macros that nothing uses; one that spells a parameter was meant to set it."""
    if not config.macros:
        return
    used = _used_macros(config)
    meant = {name for unknown in used - set(config.macros) for name in nearest(unknown, tuple(config.macros))}
    for macro in config.macros.values():
        if macro.name in used | meant:
            continue
        if remedy := _forgotten_dot(macro, config, parts):
            yield Problem.at(macro.place, f"{macro.name} = {shown(macro.value)} sets a macro that nothing uses. {remedy}")
        elif config.readable:
            message = f"The macro {macro.name} is set, but nothing uses %{macro.name}. Use it or leave it out."
            yield Problem.at(macro.place, message, "warning")


def _used_macros(config: Config) -> set[str]:
    """Names of all macros that values use, directly or through other macros."""
    used: set[str] = set()
    # What was overridden used its macros all the same: whoever overrides it need not take them out.
    waiting = [
        name for binding in config.bindings.values() for one in (binding, *binding.replaced) for name in one.macros_written
    ]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used.add(name)
            found = (config.macros[name], *config.macros[name].replaced) if name in config.macros else ()
            waiting += [leaf.name for one in found for leaf in leaves(one.value) if isinstance(leaf, MacroUse)]
    return used


def _forgotten_dot(macro: MacroBinding, config: Config, parts: Parts) -> str | None:
    """What to write in place of a macro whose name is that of a part, or of a parameter without its dot."""
    value = shown(macro.value)
    if macro.name == ROOT:
        return "Write train.parameter = value."
    if full := parts.full_name(macro.name):
        return f"{macro.name} is a part: write train.{full.partition('.')[0]} = @{macro.name}()."
    spelt = _plain(macro.name)
    candidates = [ROOT, *(name for name in parts.names if spelt.startswith((_plain(name), _plain(name.rpartition(".")[2]))))]
    for part in candidates:
        surface = parts.readable(part)
        prefixes = {"" if part == ROOT else _plain(part), _plain(part), _plain(part.rpartition(".")[2])}
        for parameter in surface.parameters if surface else ():
            if spelt in {prefix + _plain(parameter.name) for prefix in prefixes}:
                return f"Did you mean {parts.short(part)}.{parameter.name} = {value}?"
    return None


def _plain(name: str) -> str:
    """A name without what is easily mistyped in it."""
    return name.replace("_", "").replace(".", "").replace("/", "").lower()
