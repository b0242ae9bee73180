"""Weights clipped by the signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor

__all__ = ["MinSNR"]


@dataclass(frozen=True, kw_only=True)
class MinSNR:
    """The data's error weighted by min(SNR, gamma), whatever the network predicts; SNR = alpha² / sigma².

    An error of the prediction counts as the error of the data that follows from it: data: min(SNR, gamma);
    noise: min(SNR, gamma) / SNR; v: min(SNR, gamma) sigma² / (alpha² + sigma²)², which is min(SNR, gamma) / (SNR + 1) on
    a variance-preserving path; score: min(SNR, gamma) sigma⁴ / alpha²; velocity: min(SNR, gamma) sigma² / D² with
    D = alpha sigma' - alpha' sigma, which is min(t², gamma (1 - t)²) on the straight path.

    Args:
        gamma: the largest weight of the data's error.

    References:
        Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy, 2023, section 3.4. arXiv:2303.09556
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    gamma: Annotated[float, Gt(0)] = 5.0

    def __call__(self, t: Float[Tensor, " batch"], *, path: Path, prediction: str) -> Float[Tensor, " batch"]:
        alpha, sigma = path.alpha(t), path.sigma(t)
        # min(SNR, gamma) sigma², which stays finite at both ends of a path.
        clipped = torch.minimum(alpha.square(), self.gamma * sigma.square())
        match prediction:
            case "data":
                return (alpha / sigma).square().clamp(max=self.gamma)
            case "noise":
                return (self.gamma * (sigma / alpha).square()).clamp(max=1)
            case "score":
                return sigma.square() * (self.gamma * (sigma / alpha).square()).clamp(max=1)
            case "v":
                return clipped / (alpha.square() + sigma.square()).square()
            case "velocity":
                return clipped / (alpha * path.d_sigma(t) - path.d_alpha(t) * sigma).square()
            case _:
                raise ValueError(
                    f"weighting.MinSNR does not know what an error of {prediction!r} says about the data. "
                    "It knows data, noise, score, v and velocity: choose a loss that predicts one of them, or no weighting."
                )
