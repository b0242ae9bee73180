"""Representation alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

from annotated_types import Ge
from genever.slots import Encoder, EncoderModule, Network
from genever.training import Composition, Regression
from torch import nn

from genever_plugins.aligner.alignment import Alignment, built_encoder
from genever_plugins.aligner.taps import tapped

__all__ = ["REPA"]


@dataclass(frozen=True, kw_only=True)
class REPA:
    """Pull the features of one block towards those of a frozen encoder of the clean image.

    To the base loss is added -weight · mean over tokens of cos(encoder(image), projector(features)), where the projector is
    an MLP of three layers on each token. It learns with the model and is not needed afterwards. At weight 0 and from
    `stop_step` on, steps are bit-identical to those of the base method.

    Args:
        encoder: whose features to approach; it sees clean images, and no condition.
        tap: the block whose output is projected, counted from 1; at about a third of the depth in the paper.
        weight: strength of the term, relative to the base loss.
        projector_width: hidden width of the projector.
        stop_step: the training step from which the term is dropped, as HASTE does; its alignment of attention maps is
            no part of this. None = never.

    References:
        Yu et al., Representation alignment for generation: Training diffusion transformers is easier than you think, 2024.
            arXiv:2410.06940
        Wang et al., REPA works until it doesn't: Early-stopped, holistic alignment supercharges diffusion training, 2025.
            arXiv:2505.16792
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps",)

    encoder: Encoder
    tap: Annotated[int, Ge(1)]
    weight: Annotated[float, Ge(0)] = 0.5
    projector_width: Annotated[int, Ge(1)] = 2048
    stop_step: Annotated[int, Ge(0)] | None = None

    def align(self, method: Regression, composition: Composition) -> Regression:
        return method.adding(self.term(composition, "aligner.REPA"))

    def term(self, composition: Composition, name: str) -> Alignment:
        """The term, with an encoder and a fresh projector.

        Args:
            name: the full name of who asks.
        """
        network = tapped(composition, f"{name}.tap", self.tap)
        encoder = built_encoder(self.encoder, composition, network)
        projector = composition.build_seeded("projector", lambda: self.projector(network, cast(EncoderModule, encoder)))
        return Alignment(tap=self.tap, encoder=encoder, projector=projector, weight=self.weight, stop_step=self.stop_step)

    def projector(self, network: Network, encoder: EncoderModule) -> nn.Module:
        """From a token of the backbone to a token of the encoder."""
        hidden = self.projector_width
        return nn.Sequential(
            nn.Linear(network.feature_width, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, encoder.width),
        )
