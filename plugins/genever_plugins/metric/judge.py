"""The encoder that a metric looks through."""

from __future__ import annotations

from typing import cast

import torch
from genever.slots import ClassifierModule, Encoder, EncoderModule
from genever.training import Composition
from jaxtyping import Float
from torch import Tensor

__all__ = ["accuracy_of", "features", "judge"]

BATCH_SIZE = 500


def judge(encoder: Encoder, composition: Composition) -> EncoderModule:
    """The encoder of whole images, built once for a stage, on its device, and frozen."""

    def build() -> EncoderModule:
        module = composition.build_seeded("judge", lambda: encoder.build(composition, (1, 1)))
        return cast(EncoderModule, module.requires_grad_(False).eval())

    return composition.once(encoder, "judge", build)


def accuracy_of(module: EncoderModule, prefix: str = "") -> dict[str, float]:
    """How good a judge is itself, where it knows."""
    return {f"{prefix}classifier_accuracy": module.accuracy} if isinstance(module, ClassifierModule) else {}


@torch.no_grad()
def features(
    module: EncoderModule, images: Float[Tensor, " num channels height width"], device: torch.device
) -> Float[Tensor, " num features"]:
    """One vector for each image, in double precision on the CPU."""
    found = [module(chunk.to(device)).mean(1).double().cpu() for chunk in images.split(BATCH_SIZE)]
    return torch.cat(found)
