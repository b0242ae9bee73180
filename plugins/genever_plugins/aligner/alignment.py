"""Features of one block, drawn to those of a frozen encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from genever.slots import Encoder, Network
from genever.training import Composition, Forward
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

__all__ = ["Alignment", "built_encoder"]


class Alignment:
    """`genever.training.Term`: the weighted, negated mean cosine of projected features and an encoder's.

    Args:
        tap: the block whose features are projected.
        encoder: gives the targets, from clean images.
        projector: from the block's tokens to the encoder's.
        weight: strength of the term. 0 = it is left out.
        stop_step: the training step from which it is left out. None = never.
        prepare: what becomes of the encoder's features before they are compared.
    """

    learning = frozenset({"projector"})
    frozen = frozenset({"encoder"})

    def __init__(
        self,
        *,
        tap: int,
        encoder: nn.Module,
        projector: nn.Module,
        weight: float,
        stop_step: int | None,
        prepare: Callable[[Tensor], Tensor] = lambda features: features,
    ) -> None:
        self.taps = (tap,)
        self.roles = {"encoder": encoder, "projector": projector}
        self.weight, self.stop_step = weight, stop_step
        self.prepare = prepare

    def active(self, step: int) -> bool:
        return self.weight > 0 and (self.stop_step is None or step < self.stop_step)

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        with torch.no_grad():
            targets = self.prepare(forward.roles["encoder"](forward.batch.images).float())
        (features,) = forward.features
        projected = forward.roles["projector"](features)
        assert projected.shape == targets.shape, f"{tuple(projected.shape)} features for {tuple(targets.shape)} targets"
        return {"alignment": -self.weight * F.cosine_similarity(projected.float(), targets, dim=-1).mean()}

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None: ...


def built_encoder(encoder: Encoder, composition: Composition, network: Network) -> nn.Module:
    """A frozen encoder, whose tokens lie on the grid of the backbone's.

    Raises:
        ValueError: the grid changes from step to step.
    """
    if len(composition.sizes) > 1:
        raise ValueError(
            f"train.aligner = {type(composition.stage.aligner).__name__} compares features with an encoder's on one grid, "
            f"but train.data = {type(composition.stage.data).__name__} has images of {len(composition.sizes)} sizes. "
            "Align in a stage of one size."
        )
    built = composition.build_seeded("encoder", lambda: encoder.build(composition, network.feature_grid))
    return built.requires_grad_(False).eval()
