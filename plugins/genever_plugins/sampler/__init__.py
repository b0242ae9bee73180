"""Samplers: the times that a model is trained at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    registry.add("sampler.LogitNormal", "genever_plugins.sampler.logit_normal:LogitNormal")
    registry.add("sampler.Uniform", "genever_plugins.sampler.uniform:Uniform")
