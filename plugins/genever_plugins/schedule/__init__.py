"""Schedules: the factor on a learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("schedule.Constant", "genever_plugins.schedule.constant:Constant")
    registry.add("schedule.Cosine", "genever_plugins.schedule.cosine:Cosine")
    registry.add("schedule.LinearDecay", "genever_plugins.schedule.linear_decay:LinearDecay")
    registry.add("schedule.Warmup", "genever_plugins.schedule.warmup:Warmup")
