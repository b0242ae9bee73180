"""R1: the squared slope of a discriminator's score at real samples."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Features", "Penalty", "Score", "perturbed_r1", "r1"]

#: Of a few blocks: [batch, tokens, width] each.
Features = tuple[Tensor, ...]

#: A logit for each place that is judged [batch, places].
Score = Callable[[Features], Tensor]

#: One number per sample [batch].
Penalty = Callable[[Score, Features], Tensor]


def r1(score: Score, features: Features) -> Float[Tensor, " batch"]:
    """‖∇D‖² of the mean logit D in all features of a sample: a sum over them. Its own gradient reaches D's weights alone.

    References:
        Mescheder et al., Which training methods for GANs do actually converge?, 2018, eq. (9). arXiv:1801.04406
    """
    leaves = tuple(one.detach().requires_grad_() for one in features)
    with torch.enable_grad():
        gradients = torch.autograd.grad(score(leaves).mean(1).sum(), leaves, create_graph=True)
    return torch.stack([one.square().flatten(1).sum(1) for one in gradients]).sum(0)


def perturbed_r1(score: Score, features: Features, *, noises: Features, std: float) -> Float[Tensor, " batch"]:
    """(D(h + std n) - D(h))² / std², whose mean over normal n is `r1` where D is linear, without a second derivative.

    Args:
        noises: standard normal, shaped as the features.

    References:
        Lin et al., Diffusion adversarial post-training for one-step video generation, 2025. arXiv:2501.08316
    """
    moved = tuple(one + std * noise.to(one) for one, noise in zip(features, noises, strict=True))
    return ((score(moved) - score(features)).mean(1) / std).square()
