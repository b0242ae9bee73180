"""Distillers: a student that needs fewer steps than its teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the distillers."""
    registry.add("distiller.ADD", "genever_plugins.distiller.add:ADD")
    registry.add(
        "distiller.ConsistencyDistillation", "genever_plugins.distiller.consistency_distillation:ConsistencyDistillation"
    )
    registry.add("distiller.ConsistencyTraining", "genever_plugins.distiller.consistency_training:ConsistencyTraining")
    registry.add("distiller.DMD", "genever_plugins.distiller.dmd:DMD")
    registry.add("distiller.DMD2", "genever_plugins.distiller.dmd2:DMD2")
    registry.add("distiller.ECT", "genever_plugins.distiller.ect:ECT")
    registry.add("distiller.InstaFlow", "genever_plugins.distiller.insta_flow:InstaFlow")
    registry.add("distiller.LADD", "genever_plugins.distiller.ladd:LADD")
    registry.add("distiller.LCM", "genever_plugins.distiller.lcm:LCM")
    registry.add("distiller.MeanFlow", "genever_plugins.distiller.mean_flow:MeanFlow")
    registry.add("distiller.ProgressiveDistillation", "genever_plugins.distiller.progressive:ProgressiveDistillation")
    registry.add("distiller.Reflow", "genever_plugins.distiller.reflow:Reflow")
    registry.add("distiller.SCM", "genever_plugins.distiller.scm:SCM")
    registry.add("distiller.Shortcut", "genever_plugins.distiller.shortcut:Shortcut")
