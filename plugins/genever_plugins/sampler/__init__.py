"""Samplers: the times that a model is trained at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("sampler.CosMap", "genever_plugins.sampler.cos_map:CosMap")
    registry.add("sampler.LogitNormal", "genever_plugins.sampler.logit_normal:LogitNormal")
    registry.add("sampler.Mode", "genever_plugins.sampler.mode:Mode")
    registry.add("sampler.Shifted", "genever_plugins.sampler.shifted:Shifted")
    registry.add("sampler.Uniform", "genever_plugins.sampler.uniform:Uniform")
