"""Reward models of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from genever.slots import Network, Reward
from genever.training import Composition, Method, Regression, Scorer
from genever.values import DataSpec
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.aligner.linear_head import linear_head
from genever_plugins.aligner.preferences import pair_differences
from genever_plugins.aligner.reward_training import reward_training

__all__ = ["BradleyTerry", "pairs_unlikelihood"]


@dataclass(frozen=True, kw_only=True)
class BradleyTerry:
    """Train a reward model: the probability that one image is preferred to another is σ(r - r').

    r(image, condition) is linear in the mean, over tokens, of the normalised features of one block, at the path's data end
    and with the image's latent as it is. The backbone learns too, as the tuner says. Over all pairs of a sample's
    candidates, of which i is the better one, it minimises

        -mean log σ(r_i - r_j),

    a tie being half of each order. r starts at 0, where this is log 2, and is known up to a constant. The run is no
    generator any more: reward.Learned opens it, metric.PairAccuracy judges it. Set train.sample_images and
    train.validate_samples to 0.

    Args:
        utility: ranks the candidates. None = the data has ranked them, the best first.
        tap: the block whose features are read, counted from 1. None = the last.

    References:
        Bradley and Terry, Rank analysis of incomplete block designs: I. The method of paired comparisons, 1952.
        Xu et al., ImageReward: Learning and evaluating human preferences for text-to-image generation, 2023, eq. (1).
            arXiv:2304.05977
    """

    provides: ClassVar[tuple[str, ...]] = ("scorer",)
    needs: ClassVar[tuple[str, ...]] = ("data.candidates", "data.ranked|self.utility", "backbone.taps")

    utility: Reward | None = None
    tap: Annotated[int, Ge(1)] | None = None

    def heads(self, network: Network, data: DataSpec) -> Mapping[str, nn.Module]:
        return {Scorer.head: linear_head(network, self.tap, 1, "aligner.BradleyTerry.tap")}

    def align(self, method: Regression, composition: Composition) -> Method:
        return reward_training(pairs_unlikelihood, self.utility, method, composition, "aligner.BradleyTerry")


def pairs_unlikelihood(
    scores: Float[Tensor, " batch num"], utilities: Float[Tensor, " batch num"], luck: Float[Tensor, " batch num"]
) -> Float[Tensor, " batch"]:
    """-log p, a mean over all pairs of each sample's candidates."""
    first_is_better = (1 + pair_differences(utilities).sign()) / 2  # 1, 0, or 1/2 for a tie
    return F.binary_cross_entropy_with_logits(pair_differences(scores), first_is_better, reduction="none").mean(1)
