"""How different two latents look once they are decoded."""

from __future__ import annotations

import torch
from genever.slots import CodecModule, Encoder, PerceptualModule
from genever.training import Composition
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["distance_of_images", "perceptual_distance", "role_of_encoder"]


def role_of_encoder(composition: Composition, part: Encoder | None, grid: int) -> dict[str, nn.Module]:
    """The role "encoder" of a method, frozen; nothing where there is no part for it."""
    if part is None:
        return {}
    built = composition.build_seeded("encoder", lambda: part.build(composition, (grid, grid)))
    return {"encoder": built.requires_grad_(False).eval()}


def distance_of_images(encoder: nn.Module, codec: CodecModule, x_1: Tensor, wanted: Tensor) -> Float[Tensor, " batch"]:
    """The encoder's own distance of decoded images where it has one, else that of its features.

    A gradient flows into x_1. Images are not cut off at black and white, where there would be no slope.
    """
    images = codec.decode(x_1)
    with torch.no_grad():
        other = codec.decode(wanted)
    if isinstance(encoder, PerceptualModule):
        return encoder.distance(images, other)
    return perceptual_distance(encoder(images).float(), encoder(other).float())


def perceptual_distance(
    features: Float[Tensor, " batch tokens width"], other: Float[Tensor, " batch tokens width"]
) -> Float[Tensor, " batch"]:
    """The square distance of each token's normalised features, a mean over tokens: in [0, 4]."""
    first, second = (functional.normalize(one, dim=2) for one in (features, other))
    return (first - second).square().sum(2).mean(1)
