"""What a model's head says of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genever.training._read_head import read_head
from genever.values import Samples

if TYPE_CHECKING:
    from genever.training._compose import Composition

__all__ = ["Scorer"]


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """`genever.slots.RewardModel`: the head of a model, which sees an image's latent where the path ends in data.

    A gradient flows into the images, and into the model where it learns.

    Args:
        model: has the head.
        composition: of the stage that the model belongs to.
        head: its name.
    """

    model: nn.Module
    composition: Composition
    head: str = "reward"

    def __call__(self, images: Float[Tensor, " batch channels height width"], samples: Samples) -> Float[Tensor, " batch"]:
        codec, loss = self.composition.codec, self.composition.loss
        with torch.autocast(images.device.type, enabled=False):
            x_1 = codec.encode(images, torch.zeros(len(images), *codec.latent.shape, device=images.device))
        t = torch.full((len(images),), loss.path.stop, device=images.device)
        x = loss.path.alpha(t).view(-1, 1, 1, 1) * x_1
        cond = self.composition.conditioner.prepare(samples).to(images.device)
        return read_head(self.model, self.head, loss, x, t, cond).squeeze(1)
