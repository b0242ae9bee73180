"""Macros, put in where they are used. A frozen file has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from genever.errors import MAX_PROBLEMS, Place, Problem, did_you_mean, listed
from genever.language._config import Binding, MacroBinding
from genever.language._parse import MAX_DEPTH
from genever.language._values import UNREADABLE, MacroUse, depth_of, leaves, mapped, shown

__all__ = ["Expansion"]

MAX_LEAVES = 10_000


@dataclass(frozen=True)
class _Expanded:
    value: object
    num_leaves: int
    depth: int
    macros: tuple[MacroBinding, ...]


class Expansion:
    """Puts macros into values, each macro once."""

    def __init__(self, macros: Mapping[str, MacroBinding]) -> None:
        self.macros = macros
        self.problems: list[Problem] = []
        self._done: dict[str, _Expanded] = {}
        self._unknown = _Expanded(UNREADABLE, 1, 0, ())
        for name in macros:
            self._macro(name, ())

    def expanded(self, binding: Binding) -> Binding:
        """The same binding, without macros in its value; itself where it has none."""
        if len(binding.leaves) <= MAX_LEAVES and not any(isinstance(leaf, MacroUse) for leaf in binding.leaves):
            return binding
        found = self._value(binding.value, binding.place, ())
        return replace(binding, value=found.value, macros=found.macros)

    def _macro(self, name: str, chain: tuple[str, ...]) -> _Expanded:
        if name not in self._done:
            macro = self.macros[name]
            found = self._value(macro.value, macro.place, (*chain, name))
            others = (other for other in found.macros if other.name != name)
            self._done.setdefault(name, replace(found, macros=(macro, *others)))
        return self._done[name]

    def _value(self, value: object, place: Place, chain: tuple[str, ...]) -> _Expanded:
        used: dict[str, _Expanded] = {}
        for leaf in leaves(value):
            if isinstance(leaf, MacroUse) and leaf.name not in used:
                used[leaf.name] = self._use(leaf.name, place, chain)
        num = sum(used[leaf.name].num_leaves if isinstance(leaf, MacroUse) else 1 for leaf in leaves(value))
        depth = depth_of(value) + max((found.depth for found in used.values()), default=0)
        if num > MAX_LEAVES or depth > MAX_DEPTH:
            self._complain(place, "The macros of this value make it too large. Use fewer of them in each other.")
            return self._unknown
        macros = {macro.name: macro for found in used.values() for macro in found.macros}
        try:
            put_in = mapped(value, lambda leaf: used[leaf.name].value if isinstance(leaf, MacroUse) else leaf)
        except TypeError:
            said = f"A key of the mapping {shown(value)} is itself a list or a mapping. Use texts or numbers as keys."
            self._complain(place, said)
            return self._unknown
        return _Expanded(put_in, num, depth, tuple(macros.values()))

    def _use(self, name: str, place: Place, chain: tuple[str, ...]) -> _Expanded:
        if name in chain:
            cycle = [*chain[chain.index(name) :], name]
            self._complain(
                place, f"Macros use each other in a circle: {' -> '.join(f'%{n}' for n in cycle)}. Give one a value."
            )
        elif len(chain) > MAX_DEPTH:
            self._complain(place, "The macros of this value make it too large. Use fewer of them in each other.")
        elif name in self.macros:
            return self._macro(name, chain)
        elif name.startswith("gin."):
            self._complain(
                place, f"%{name} is a constant of gin, which Genever does not have. Leave the line out or give a value."
            )
        else:
            if len(self.problems) >= MAX_PROBLEMS:
                return self._unknown
            known = did_you_mean(name, self.macros, "%") or f" Defined are: {listed(sorted(self.macros))}."
            self._complain(place, f"The macro %{name} is not defined.{known} Define it with a line '{name} = value'.")
        return self._unknown

    def _complain(self, place: Place, message: str) -> None:
        problem = Problem.at(place, message)
        if problem not in self.problems:
            self.problems.append(problem)
