"""What a discriminator and a generator make of logits; high = real."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["Adversarial", "discriminator_loss", "generator_loss"]

#: 'hinge' leaves alone what is told apart by a margin of 1; 'logistic' is the negative log-likelihood.
Adversarial = Literal["hinge", "logistic"]


def discriminator_loss(
    kind: Adversarial, real: Float[Tensor, " batch places"], fake: Float[Tensor, " batch places"]
) -> Float[Tensor, ""]:
    """Falls as logits of real samples rise and those of fake ones fall; at logits of 0 it is 2, or 2 ln 2.

    References:
        Lim and Ye, Geometric GAN, 2017. arXiv:1705.02894
        Goodfellow et al., Generative adversarial networks, 2014, eq. (1). arXiv:1406.2661
    """
    if kind == "hinge":
        return (1 - real).relu().mean() + (1 + fake).relu().mean()
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(kind: Adversarial, fake: Float[Tensor, " batch places"]) -> Float[Tensor, ""]:
    """Falls as logits of fake samples rise. 'logistic' is the non-saturating one."""
    return -fake.mean() if kind == "hinge" else softplus(-fake).mean()
