"""Solvers: from noise to data along a field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("solver.Euler", "genever_plugins.solver.euler:Euler")
    registry.add("solver.Heun", "genever_plugins.solver.heun:Heun")
