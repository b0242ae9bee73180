"""Representation alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge
from genever.slots import Encoder, EncoderModule, Network
from genever.training import Composition, Forward, Regression
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

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
        stop_step: the training step from which the term is dropped, as HASTE does. None = never.

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
        network = cast(Network, composition.model.network)
        if not 1 <= self.tap <= network.num_blocks:
            raise ValueError(
                f"aligner.REPA.tap = {self.tap} is not a block of this backbone. Choose one of 1 .. {network.num_blocks}."
            )
        encoder = composition.build_seeded("encoder", lambda: self.encoder.build(composition, network.feature_grid))
        projector = composition.build_seeded("projector", lambda: self.projector(network, cast(EncoderModule, encoder)))
        return method.adding(Alignment(self, encoder.requires_grad_(False).eval(), projector))

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


class Alignment:
    """`genever.training.Term`: the weighted, negated mean cosine of projected features and the encoder's."""

    learning = frozenset({"projector"})
    frozen = frozenset({"encoder"})

    def __init__(self, part: REPA, encoder: nn.Module, projector: nn.Module) -> None:
        self.weight, self.stop_step = part.weight, part.stop_step
        self.taps = (part.tap,)
        self.roles = {"encoder": encoder, "projector": projector}

    def active(self, step: int) -> bool:
        return self.weight > 0 and (self.stop_step is None or step < self.stop_step)

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        with torch.no_grad():
            targets = forward.roles["encoder"](forward.batch.images)
        (features,) = forward.features
        projected = forward.roles["projector"](features)
        assert projected.shape == targets.shape, f"{tuple(projected.shape)} features for {tuple(targets.shape)} targets"
        return {"alignment": -self.weight * F.cosine_similarity(projected.float(), targets.float(), dim=-1).mean()}

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None: ...
