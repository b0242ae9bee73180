"""Conditioners: from labels and captions to what a backbone reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the conditioners."""
    registry.add("conditioner.Classes", "genever_plugins.conditioner.classes:Classes")
    registry.add("conditioner.EndTime", "genever_plugins.conditioner.end_time:EndTime")
    registry.add("conditioner.FrozenText", "genever_plugins.conditioner.frozen_text:FrozenText")
    registry.add("conditioner.GuidanceScale", "genever_plugins.conditioner.guidance_scale:GuidanceScale")
    registry.add("conditioner.LowResolution", "genever_plugins.conditioner.low_resolution:LowResolution")
    registry.add("conditioner.Rewrite", "genever_plugins.conditioner.rewrite:Rewrite")
    registry.add("conditioner.Text", "genever_plugins.conditioner.text:Text")
    registry.add("conditioner.Unconditional", "genever_plugins.conditioner.unconditional:Unconditional")
