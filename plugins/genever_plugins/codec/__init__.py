"""Codecs: from images to latents and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genever import hookimpl

if TYPE_CHECKING:
    from genever import Registry


@hookimpl
def register_parts(registry: Registry) -> None:
    """Offer the codecs."""
    registry.add("codec.AutoencoderKL", "genever_plugins.codec.autoencoder_kl:AutoencoderKL")
    registry.add("codec.Pixels", "genever_plugins.codec.pixels:Pixels")
