"""The quarantine loader: every plugin is tried on its own, so a broken one stops nothing but itself."""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import pluggy

from genever.errors import UserError
from genever.parts._catalog import Catalog, PluginReport, Registry
from genever.parts._hooks import PROJECT, HookSpecs

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

__all__ = ["load_catalog"]

ONLY = "GENEVER_PLUGINS"


def load_catalog() -> Catalog:
    """Loads the plugins that are installed, ours first, then by name.

    The environment variable GENEVER_PLUGINS, a list of entry-point names such as 'acme,other', loads these alone beside our
    own; with a '=' in front ('=acme,genever-loss') these alone.

    Raises:
        UserError: GENEVER_PLUGINS names a plugin that is not installed.
    """
    points = _installed()
    wanted = _wanted(points, os.environ.get(ONLY))
    loading = _Loading()
    for point in points:
        loading.reports.append(loading.load(point) if point in wanted else _report(point, "left out", f"{ONLY} is set"))
    return Catalog(targets=loading.targets, providers=loading.providers, reports=tuple(loading.reports))


def _installed() -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=PROJECT), key=lambda point: (not _ours(point), point.name, _distribution(point)[0]))


def _wanted(points: list[EntryPoint], only: str | None) -> list[EntryPoint]:
    if only is None:
        return points
    alone, names = only.startswith("="), [name.strip() for name in only.lstrip("=").split(",") if name.strip()]
    known = [point.name for point in points]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Installed are: {', '.join(known)}."
            raise UserError(f"{ONLY} names {name!r}, which is not installed. {hint}")
    return [point for point in points if point.name in names or (not alone and _ours(point))]


@dataclass
class _Loading:
    targets: dict[str, str] = field(default_factory=dict)
    providers: dict[str, PluginReport] = field(default_factory=dict)
    reports: list[PluginReport] = field(default_factory=list)

    def load(self, point: EntryPoint) -> PluginReport:
        registry, begin = Registry(), time.perf_counter()
        try:
            self._refuse_duplicate(point)
            # What a plugin prints while it is imported must not end up in an answer that a script reads.
            with contextlib.redirect_stdout(sys.stderr):
                _register(point, registry)
            self._refuse_taken(registry)
        except (Exception, SystemExit) as error:
            # A hook that was cut short could have offered anything.
            tried = tuple(registry.targets) if isinstance(error, _RefusedError) else ()
            return _report(point, "failed", _reason(error), tried=tried)
        report = _report(point, "loaded", parts=tuple(registry.targets), seconds=time.perf_counter() - begin)
        self.targets.update(registry.targets)
        self.providers.update(dict.fromkeys(registry.targets, report))
        return report

    def _refuse_duplicate(self, point: EntryPoint) -> None:
        for other in self.reports:
            if other.name == point.name and other.status != "left out":
                raise _RefusedError(
                    f"The entry-point name {point.name!r} is already used by {other.distribution} {other.version}."
                )

    def _refuse_taken(self, registry: Registry) -> None:
        for name in registry.targets:
            if name in self.providers:
                raise _RefusedError(f"The part {name} is already provided by {self.providers[name]}.")


class _RefusedError(Exception):
    """A plugin collides with one that was loaded before it."""


def _register(point: EntryPoint, registry: Registry) -> None:
    # A manager for each plugin: there is nothing to take back when one fails.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    manager.register(point.load(), name=point.name)
    hooks = [name for name in vars(HookSpecs) if not name.startswith("_")]
    _refuse_unknown(manager, point, hooks)
    manager.check_pending()
    if not manager.hook.register_parts.get_hookimpls():
        raise _RefusedError(f"{point.value} has no hook. Write `@hookimpl def register_parts(registry): ...` in it.")
    manager.hook.register_parts(registry=registry)


def _refuse_unknown(manager: pluggy.PluginManager, point: EntryPoint, hooks: Iterable[str]) -> None:
    for name in sorted(vars(manager.hook)):
        if not name.startswith("_") and name not in hooks:
            raise _RefusedError(f"{point.value} has an unknown hook {name!r}. The hooks are: {', '.join(hooks)}.")


def _reason(error: BaseException) -> str:
    if isinstance(error, _RefusedError):
        return str(error)
    text = " ".join(str(error).split())
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({where.filename}:{where.lineno})"


def _report(point: EntryPoint, status: str, reason: str = "", **more: object) -> PluginReport:
    distribution, version = _distribution(point)
    report = PluginReport(name=point.name, distribution=distribution, version=version, status="loaded", reason=reason)
    return replace(report, status=status, **more)


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return _name_and_version(point.dist) if point.dist else ("unknown", "")


@cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    # Each of the two parses the whole METADATA file anew.
    return distribution.name, distribution.version


def _ours(point: EntryPoint) -> bool:
    return _distribution(point)[0] == PROJECT
