"""A reward's mean over samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever import slots
from genever.slots import Measures
from genever.training import Evaluation, named, sampling
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

__all__ = ["Reward", "rewards"]

BATCH_SIZE = 250


@dataclass(frozen=True, kw_only=True)
class Reward:
    """The mean of a reward over samples, and its standard deviation ("reward", "reward_std").

    Args:
        reward: what is averaged.
        name: of the numbers, where a stage measures more than one reward.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"{name}": "higher", "{name}_std": None}

    reward: slots.Reward
    name: str = "reward"

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        found = rewards(self.reward, evaluation, evaluation.generated())
        return {self.name: found.mean().item(), f"{self.name}_std": found.std(correction=0).item()}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, rewarded by {named(self.reward)}"


@torch.no_grad()
def rewards(reward: slots.Reward, evaluation: Evaluation, made: Samples) -> Float[Tensor, " num"]:
    """Of each image that was made, in double precision."""
    composition = evaluation.composition
    model = composition.once(reward, "built", lambda: reward.build(composition))
    chunks = [made.rows(slice(first, first + BATCH_SIZE)) for first in range(0, len(made), BATCH_SIZE)]
    return torch.cat([model(chunk.images.to(evaluation.device), chunk).double().cpu() for chunk in chunks])
