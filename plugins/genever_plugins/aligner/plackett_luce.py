"""Reward models of rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Network, Reward
from genever.training import Composition, Method, Regression, Scorer
from genever.values import DataSpec
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.linear_head import linear_head
from genever_plugins.aligner.reward_training import reward_training

__all__ = ["PlackettLuce", "ranking_unlikelihood"]


@dataclass(frozen=True, kw_only=True)
class PlackettLuce:
    """Train a reward model: an image is the best of those that are left with a probability in proportion to exp r.

    With r as in aligner.BradleyTerry and a sample's candidates numbered from the best to the worst, it minimises

        -Σ_i log (exp r_i / Σ_{j >= i} exp r_j),

    which is that part's loss where there are two. Equal candidates are put in an order that is drawn anew in each step, so
    that each order counts equally in the mean. The loss starts at the logarithm of the number of orders.

    Args:
        utility: ranks the candidates. None = the data has ranked them, the best first.
        tap: the block whose features are read, counted from 1. None = the last.

    References:
        Plackett, The analysis of permutations, 1975.
        Luce, Individual choice behavior: A theoretical analysis, 1959.
    """

    provides: ClassVar[tuple[str, ...]] = ("scorer",)
    needs: ClassVar[tuple[str, ...]] = ("data.candidates", "data.ranked|self.utility", "backbone.taps")

    utility: Reward | None = None
    tap: Annotated[int, Ge(1)] | None = None

    def heads(self, network: Network, data: DataSpec) -> Mapping[str, nn.Module]:
        return {Scorer.head: linear_head(network, self.tap, 1, "aligner.PlackettLuce.tap")}

    def align(self, method: Regression, composition: Composition) -> Method:
        return reward_training(ranking_unlikelihood, self.utility, method, composition, "aligner.PlackettLuce")


def ranking_unlikelihood(
    scores: Float[Tensor, " batch num"], utilities: Float[Tensor, " batch num"], luck: Float[Tensor, " batch num"]
) -> Float[Tensor, " batch"]:
    """-log p of the order by utility; luck decides between equal ones."""
    ordered = scores.gather(1, best_first(utilities, luck))
    # Of what is left when i is chosen: the logarithm of the sum of exp over j >= i.
    left = ordered.flip(1).logcumsumexp(1).flip(1)
    return (left - ordered).sum(1)


def best_first(utilities: Float[Tensor, " batch num"], luck: Float[Tensor, " batch num"]) -> Tensor:
    """The places of the candidates, from the best to the worst."""
    shuffled = luck.argsort(1)
    order = torch.argsort(utilities.gather(1, shuffled), dim=1, descending=True, stable=True)
    return shuffled.gather(1, order)
