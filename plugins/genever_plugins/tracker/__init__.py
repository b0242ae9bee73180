"""Trackers: follow a run as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("tracker.TensorBoard", "genever_plugins.tracker.tensorboard:TensorBoard")
