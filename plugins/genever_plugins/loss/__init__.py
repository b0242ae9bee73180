"""Losses: what the network predicts, on which path, and how far off it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("loss.FlowMatching", "genever_plugins.loss.flow_matching:FlowMatching")
