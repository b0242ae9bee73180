"""Weightings: how much a sample's error counts at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("weighting.CosMap", "genever_plugins.weighting.cos_map:CosMap")
    registry.add("weighting.InverseVariance", "genever_plugins.weighting.inverse_variance:InverseVariance")
    registry.add("weighting.MinSNR", "genever_plugins.weighting.min_snr:MinSNR")
