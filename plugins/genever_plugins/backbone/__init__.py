"""Backbones: the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the backbones."""
    registry.add("backbone.DiT", "genever_plugins.backbone.dit:DiT")
    registry.add("backbone.Flux", "genever_plugins.backbone.flux:Flux")
    registry.add("backbone.MMDiT", "genever_plugins.backbone.mmdit:MMDiT")
    registry.add("backbone.UNet", "genever_plugins.backbone.unet:UNet")
    registry.add("backbone.UViT", "genever_plugins.backbone.uvit:UViT")
