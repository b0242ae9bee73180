"""Distillers: a student that needs fewer steps than its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the distillers."""
    registry.add("distiller.DMD", "genever_plugins.distiller.dmd:DMD")
    registry.add("distiller.ProgressiveDistillation", "genever_plugins.distiller.progressive:ProgressiveDistillation")
