"""The codec that does nothing: the model works on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.values import DataSpec, LatentSpec
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Pixels"]


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """Latents are the images themselves, in [-1, 1]."""

    provides: ClassVar[tuple[str, ...]] = ("any_size",)
    needs: ClassVar[tuple[str, ...]] = ()

    def build(self, data: DataSpec) -> nn.Module:
        return PixelsModule(LatentSpec(channels=data.channels, height=data.height, width=data.width))


class PixelsModule(nn.Module):
    """`genever.slots.CodecModule` without weights."""

    def __init__(self, latent: LatentSpec) -> None:
        super().__init__()
        self.latent = latent

    def encode(
        self,
        images: Float[Tensor, " batch channels height width"],
        noise: Float[Tensor, " batch channels height width"],
    ) -> Float[Tensor, " batch channels height width"]:
        return images

    def decode(
        self, latents: Float[Tensor, " batch channels height width"]
    ) -> Float[Tensor, " batch channels height width"]:
        return latents
