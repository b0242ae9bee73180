"""Representation alignment that stresses where things are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, cast

from annotated_types import Ge, Le
from genever.slots import Encoder, EncoderModule
from genever.training import Composition, Regression
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.alignment import Alignment, built_encoder
from genever_plugins.aligner.taps import tapped

__all__ = ["IREPA"]


@dataclass(frozen=True, kw_only=True)
class IREPA:
    """REPA that carries over the places of an image rather than what is the same all over it.

    As in `aligner.REPA`, -weight · mean over tokens of cos(target, projector(features)) is added to the base loss; but the
    projector is one 3x3 convolution over the grid of tokens, and the targets are the encoder's features x, standardised
    over the tokens of each image, channel by channel:

        target = (x - gamma · mean x) / (std x + 1e-6).

    At weight 0 and from `stop_step` on, steps are bit-identical to those of the base method.

    Args:
        encoder: whose features to approach; it sees clean images, and no condition.
        tap: the block whose output is projected, counted from 1; at about a third of the depth in the paper.
        weight: strength of the term, relative to the base loss.
        gamma: share of the mean that is taken off. 0 = what all tokens have in common stays; 1 = all of it goes.
        stop_step: the training step from which the term is dropped. None = never.

    References:
        Singh et al., What matters for representation alignment: Global information or spatial structure?, 2025.
            arXiv:2512.10794
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps",)

    encoder: Encoder
    tap: Annotated[int, Ge(1)]
    weight: Annotated[float, Ge(0)] = 1.0
    gamma: Annotated[float, Ge(0), Le(1)] = 1.0
    stop_step: Annotated[int, Ge(0)] | None = None

    def align(self, method: Regression, composition: Composition) -> Regression:
        network = tapped(composition, "aligner.IREPA.tap", self.tap)
        if math.prod(network.feature_grid) < 2:
            raise ValueError(
                "aligner.IREPA standardises features over the tokens of an image, but this backbone has one token. "
                "Choose smaller patches, or aligner.REPA."
            )
        encoder = built_encoder(self.encoder, composition, network)
        width = cast(EncoderModule, encoder).width
        projector = composition.build_seeded(
            "projector", lambda: GridConvolution(network.feature_grid, network.feature_width, width)
        )
        return method.adding(
            Alignment(
                tap=self.tap,
                encoder=encoder,
                projector=projector,
                weight=self.weight,
                stop_step=self.stop_step,
                prepare=partial(standardised, gamma=self.gamma),
            )
        )


class GridConvolution(nn.Module):
    """A 3x3 convolution over tokens that lie on a grid; beyond its edge are zeros."""

    def __init__(self, grid: tuple[int, int], width: int, out_width: int) -> None:
        super().__init__()
        self.grid = grid
        self.convolution = nn.Conv2d(width, out_width, kernel_size=3, padding=1)

    def forward(self, tokens: Float[Tensor, " batch tokens width"]) -> Float[Tensor, " batch tokens out"]:
        image = tokens.transpose(1, 2).unflatten(2, self.grid)
        return self.convolution(image).flatten(2).transpose(1, 2)


def standardised(features: Float[Tensor, " batch tokens width"], gamma: float = 1.0) -> Float[Tensor, " batch tokens width"]:
    """(x - gamma · mean x) / (std x + 1e-6), over the tokens of each image."""
    mean, std = features.mean(1, keepdim=True), features.std(1, keepdim=True)
    return (features - gamma * mean) / (std + 1e-6)
