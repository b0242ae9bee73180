"""Guidances: outputs under a condition and without it, combined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("guidance.CFG", "genever_plugins.guidance.cfg:CFG")
