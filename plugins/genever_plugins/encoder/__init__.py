"""Encoders: features of clean images, for aligners, metrics and rewards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("encoder.Classifier", "genever_plugins.encoder.classifier:Classifier")
    registry.add("encoder.LPIPS", "genever_plugins.encoder.lpips:LPIPS")
    registry.add("encoder.Pretrained", "genever_plugins.encoder.pretrained:Pretrained")
