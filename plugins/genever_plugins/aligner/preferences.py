"""Which candidates of a sample are better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from genever.slots import RewardModel
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["Preferences", "pair_differences", "repeated"]


@dataclass(frozen=True)
class Preferences:
    """Ranks the candidates of samples.

    Args:
        utility: says how good an image is. None = the data has ranked its candidates, the best first.
    """

    utility: RewardModel | None

    @torch.no_grad()
    def __call__(self, candidates: Samples, num: int) -> Float[Tensor, " batch num"]:
        """How good each candidate is; equal numbers are ties.

        Args:
            candidates: as `repeated` lists them.
            num: candidates of each sample.
        """
        if self.utility is None:
            return -torch.arange(num, device=candidates.images.device).float().expand(len(candidates) // num, -1)
        with torch.autocast(candidates.images.device.type, enabled=False):
            return self.utility(candidates.images, candidates).float().view(-1, num)


def repeated(samples: Samples, images: Float[Tensor, " batch num channels height width"]) -> Samples:
    """Several images for each sample, one after the other, each with what was asked for."""
    num = images.shape[1]
    return Samples(
        images=images.flatten(0, 1),
        labels=None if samples.labels is None else samples.labels.repeat_interleave(num),
        captions=None if samples.captions is None else tuple(c for c in samples.captions for _ in range(num)),
        extras={name: tuple(v for v in values for _ in range(num)) for name, values in samples.extras.items()},
    )


def pair_differences(values: Float[Tensor, " batch num"]) -> Float[Tensor, " batch pairs"]:
    """values[:, i] - values[:, j] for all i < j."""
    first, second = torch.triu_indices(values.shape[1], values.shape[1], offset=1, device=values.device)
    return values[:, first] - values[:, second]
