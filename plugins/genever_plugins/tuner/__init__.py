"""Tuners: which weights learn, and what is worth keeping of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the tuners."""
    registry.add("tuner.DreamBooth", "genever_plugins.tuner.dream_booth:DreamBooth")
    registry.add("tuner.Full", "genever_plugins.tuner.full:Full")
    registry.add("tuner.LoRA", "genever_plugins.tuner.lora:LoRA")
    registry.add("tuner.TextualInversion", "genever_plugins.tuner.textual_inversion:TextualInversion")
