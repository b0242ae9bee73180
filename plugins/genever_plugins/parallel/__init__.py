"""Parallel: how networks lie in several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("parallel.DDP", "genever_plugins.parallel.ddp:DDP")
    registry.add("parallel.FSDP", "genever_plugins.parallel.fsdp:FSDP")
