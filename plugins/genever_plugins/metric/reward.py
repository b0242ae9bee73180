"""A reward's mean over samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever import slots
from genever.slots import Measures
from genever.training import Evaluation, named, sampling

__all__ = ["Reward"]

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

    @torch.no_grad()
    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        composition = evaluation.composition
        model = composition.once(self.reward, "built", lambda: self.reward.build(composition))
        made = evaluation.generated()
        chunks = [made.rows(slice(first, first + BATCH_SIZE)) for first in range(0, len(made), BATCH_SIZE)]
        rewards = torch.cat([model(chunk.images.to(evaluation.device), chunk).double().cpu() for chunk in chunks])
        return {self.name: rewards.mean().item(), f"{self.name}_std": rewards.std(correction=0).item()}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, rewarded by {named(self.reward)}"
