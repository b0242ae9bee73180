"""Gaussian probability paths: how data and noise are mixed at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("path.Linear", "genever_plugins.path.linear:Linear")
