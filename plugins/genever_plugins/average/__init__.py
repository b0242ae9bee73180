"""Averages: the decay of an exponential moving average of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("average.Constant", "genever_plugins.average.constant:Constant")
    registry.add("average.Power", "genever_plugins.average.power:Power")
    registry.add("average.Ramp", "genever_plugins.average.ramp:Ramp")
    registry.add("average.Warmup", "genever_plugins.average.warmup:Warmup")
