"""Gaussian probability paths: how data and noise are mixed at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("path.Linear", "genever_plugins.path.linear:Linear")
    registry.add("path.VE", "genever_plugins.path.ve:VE")
    registry.add("path.VPCosine", "genever_plugins.path.vp_cosine:VPCosine")
    registry.add("path.VPLinear", "genever_plugins.path.vp_linear:VPLinear")
