"""Distances: how far a prediction is from its target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("distance.Huber", "genever_plugins.distance.huber:Huber")
    registry.add("distance.L2", "genever_plugins.distance.l2:L2")
