"""Every part that is offered here, by name, and what became of each plugin."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal

from genever.parts._surface import BrokenPartError, Surface
from genever.slots import SLOTS

__all__ = ["Catalog", "PluginReport", "Registry"]

STAGE = "genever.training._stage:Stage"


@dataclass(frozen=True, kw_only=True)
class PluginReport:
    """What became of one plugin.

    Args:
        name: of its entry point.
        status: 'left out' = not named in GENEVER_PLUGINS.
        reason: why it is not loaded; '' = it is.
        parts: full names of the parts that it provides.
        tried: full names of all that it wanted to provide; () = unknown, it failed before it could say.
        seconds: what importing it took.
    """

    name: str
    distribution: str
    version: str
    status: Literal["loaded", "failed", "left out"]
    reason: str = ""
    parts: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"plugin {self.name} ({self.distribution} {self.version})"


class Registry:
    """What a plugin's hook adds its parts to."""

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}

    def add(self, name: str, target: str | type | object) -> None:
        """Offers a part.

        Args:
            name: 'slot.Name'.
            target: 'module:Name', which is imported when the part is first built, or the class or function itself.

        Raises:
            ValueError: the name or the target is not of that form, or the name is taken.
        """
        _check_name(name)
        if name in self.targets:
            raise ValueError(f"The part {name} is added twice. Give one of the two another name.")
        self.targets[name] = _target_of(name, target)


@dataclass(frozen=True, kw_only=True, eq=False)
class Catalog:
    """The parts of all plugins that loaded.

    Args:
        targets: 'module:Name' of each part, by full name.
        providers: the plugin of each part.
        reports: every plugin that is installed, in the order in which they were tried.
    """

    targets: Mapping[str, str]
    providers: Mapping[str, PluginReport]
    reports: tuple[PluginReport, ...]
    _read: dict[str, Surface] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Every full name, sorted."""
        return tuple(sorted(self.targets))

    def find(self, selector: str) -> tuple[str, ...]:
        """Every full name that a full or bare name could mean; a full name means itself alone."""
        if selector in self.targets:
            return (selector,)
        return tuple(name for name in self.names() if name.endswith(f".{selector}"))

    def surface(self, name: str) -> Surface:
        """What a part shows of itself, read from its source without importing it.

        Raises:
            BrokenPartError: its target does not exist or cannot be read.
        """
        if name not in self._read:
            self._read[name] = self._surface(name, name.partition(".")[0], self.targets[name])
        return self._read[name]

    @property
    def stage(self) -> Surface:
        """What `train` shows of itself."""
        if "train" not in self._read:
            self._read["train"] = self._surface("train", "train", STAGE)
        return self._read["train"]

    def load(self, name: str) -> object:
        """The class or function itself; imports it.

        Raises:
            BrokenPartError: it cannot be imported, or no plugin that is loaded provides it.
        """
        if name != "train" and name not in self.targets:
            raise BrokenPartError(
                f"There is no part {name}: its plugin is not installed, failed to load, or is left out by GENEVER_PLUGINS. "
                "See `genever plugins`."
            )
        module, _, path = (STAGE if name == "train" else self.targets[name]).partition(":")
        try:
            found: object = import_module(module)
            for attribute in path.split("."):
                found = getattr(found, attribute)
        except Exception as error:
            raise BrokenPartError(self._blame(name, f"{type(error).__name__}: {error}")) from error
        return found

    def provider(self, name: str) -> PluginReport:
        """The plugin that provides a part."""
        return self.providers[name]

    def broken(self, selector: str) -> tuple[PluginReport, ...]:
        """The failed plugins that could have provided a part of that name."""
        failed = [report for report in self.reports if report.status == "failed"]
        return tuple(r for r in failed if not r.tried or any(f".{name}".endswith(f".{selector}") for name in r.tried))

    def broken_parts(self, report: PluginReport) -> dict[str, str]:
        """The parts of a plugin whose target does not exist or cannot be read, and why."""
        found: dict[str, str] = {}
        for name in report.parts:
            try:
                self.surface(name)
            except BrokenPartError as error:
                found[name] = str(error.__cause__)
        return found

    def _surface(self, name: str, slot: str, target: str) -> Surface:
        from genever.parts._cache import cached_surface
        from genever.parts._files import UnreadableError

        try:
            return cached_surface(target, name=name, slot=slot)
        except UnreadableError as error:
            raise BrokenPartError(self._blame(name, str(error))) from error

    def _blame(self, name: str, reason: str) -> str:
        whose = f" of {self.providers[name]}" if name in self.providers else ""
        return f"The part {name}{whose} cannot be used. {reason}"


def _check_name(name: str) -> None:
    slot, _, own = name.partition(".")
    if slot not in SLOTS:
        near = difflib.get_close_matches(slot, SLOTS, n=1)
        hint = f"Did you mean {near[0]}.{own or 'Name'}?" if near else f"The slots are {', '.join(SLOTS)}."
        raise ValueError(f"The part name {name!r} does not start with a slot. {hint}")
    if not re.fullmatch(r"[A-Za-z_]\w*", own):
        raise ValueError(f"The part name {name!r} is not of the form 'slot.Name', such as 'sampler.LogitNormal'.")


def _target_of(name: str, target: object) -> str:
    if isinstance(target, str):
        if not re.fullmatch(r"[\w.]+:[\w.]+", target):
            raise ValueError(f"The target {target!r} of {name} is not of the form 'module:Name'.")
        return target
    if not (inspect.isclass(target) or inspect.isfunction(target)):
        raise ValueError(f"The target of {name} is {target!r}. Add a class, a function or a string 'module:Name'.")
    if "<" in target.__qualname__:
        raise ValueError(f"The target of {name} is defined inside a function. Define it at the top of a module.")
    return f"{target.__module__}:{target.__qualname__}"
