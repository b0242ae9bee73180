"""The encoder that metrics look through, and what it sees: once for all metrics that name an equal one."""

from __future__ import annotations

from typing import cast

import torch
from genever.slots import ClassifierModule, Encoder, EncoderModule
from genever.training import Composition, Evaluation, named, sampling
from jaxtyping import Float
from torch import Tensor

__all__ = ["accuracy_of", "compared", "features", "judge", "made_features", "real_features"]

BATCH_SIZE = 500


def judge(encoder: Encoder, composition: Composition) -> EncoderModule:
    """The encoder of whole images, built once for a stage, on its device, and frozen."""
    first = _first_equal(encoder, composition)

    def build() -> EncoderModule:
        module = composition.build_seeded("judge", lambda: first.build(composition, (1, 1)))
        return cast(EncoderModule, module.requires_grad_(False).eval())

    return composition.once(first, "judge", build)


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


def real_features(encoder: Encoder, composition: Composition, num_real: int) -> Float[Tensor, " num features"]:
    """Those of the real images of both splits, at most `num_real` of each, the first ones."""

    def see() -> Tensor:
        module, found = judge(encoder, composition), []
        for dataset, num in zip((composition.data, composition.validation), _num_real(composition, num_real), strict=True):
            for first in range(0, num, BATCH_SIZE):
                images = dataset.fetch(range(first, min(first + BATCH_SIZE, num))).images
                found.append(features(module, images, composition.device))
        return torch.cat(found)

    return composition.once(_first_equal(encoder, composition), f"features of {num_real} real", see)


def made_features(encoder: Encoder, evaluation: Evaluation) -> Float[Tensor, " num features"]:
    """Those of the generated images."""
    composition = evaluation.composition

    def see() -> Tensor:
        return features(judge(encoder, composition), evaluation.generated().images, composition.device)

    return evaluation.once(_first_equal(encoder, composition), "features of generated", see)


def compared(encoder: Encoder, evaluation: Evaluation, num_real: int) -> str:
    """In words: generated with real images in features."""
    num = sum(_num_real(evaluation.composition, num_real))
    return f"{sampling(evaluation)}, against {num:,} real images of both splits, in features of {named(encoder)}"


def _num_real(composition: Composition, num_real: int) -> list[int]:
    return [min(len(dataset), num_real) for dataset in (composition.data, composition.validation)]


def _first_equal(encoder: Encoder, composition: Composition) -> Encoder:
    """A composer writes '@Classifier()' for each metric, and gin builds each anew: equal ones are one."""
    known = composition.once(_first_equal, "encoders", list[Encoder])
    for one in known:
        if one is encoder or one == encoder:
            return one
    known.append(encoder)
    return encoder
