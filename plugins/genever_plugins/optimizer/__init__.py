"""Optimizers: how a gradient changes weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("optimizer.AdamW", "genever_plugins.optimizer.adamw:AdamW")
    registry.add("optimizer.Muon", "genever_plugins.optimizer.muon:Muon")
