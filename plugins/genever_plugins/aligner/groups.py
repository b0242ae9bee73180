"""Images of one condition, sampled and scored together, and learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol, runtime_checkable

import torch
from genever.slots import Guidance, Reward, RewardModel, Solver
from genever.training import Batch, Composition, Feed, Field, Update
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.preferences import repeated

__all__ = ["GroupSampler", "Groups", "Losses", "check_whole_groups", "group_sampler", "updates_on_groups"]


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Latents of a group for each condition of a batch, and how good they are."""

    x_1: Float[Tensor, " groups size channels height width"]
    rewards: Float[Tensor, " groups size"]

    def scores(self) -> dict[str, Tensor]:
        """What is logged of them."""
        return {"reward": self.rewards.mean(), "reward_std_in_group": self.rewards.std(1, unbiased=False).mean()}


#: The losses on a batch's groups at the draw of times and noises of this number; notes in the last what is logged.
Losses = Callable[[Batch, Groups, int, dict[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class GroupSampler:
    """Samples a group of each condition of a batch, decodes and scores it.

    Args:
        size: images of a group.
    """

    size: int
    solver: Solver
    guidance: Guidance | None
    composition: Composition
    reward: RewardModel

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch) -> Groups:
        cond, null = (integers.repeat_interleave(self.size, dim=0) for integers in (batch.cond, batch.null))
        asked = repeated(batch.samples, batch.images.unsqueeze(1).expand(-1, self.size, -1, -1, -1))
        field = Field(model, self.composition.loss, cond, guidance=self.guidance, null=null, samples=asked)
        noise = batch.draws.normal("rollout noise", (self.size, *batch.x_1.shape[1:])).flatten(0, 1)
        # A solver that adds noise on the way adds other noise where batches are split otherwise.
        generator = batch.draws.generator(f"rollout from {batch.draws.rows.start}")
        x_1 = self.solver(field, noise, generator=generator).float()
        with torch.autocast(x_1.device.type, enabled=False):
            images = self.composition.codec.decode(x_1).clamp(-1, 1)
            wanted = repeated(batch.samples, images.unflatten(0, (-1, self.size)))
            rewards = self.reward(wanted.images, wanted).to(x_1.device).float()
        return Groups(x_1=x_1.unflatten(0, (-1, self.size)), rewards=rewards.view(-1, self.size))


@runtime_checkable
class Grouping(Protocol):
    """What an aligner says of its groups; no solver = the stage's."""

    @property
    def group_size(self) -> int: ...
    @property
    def reward(self) -> Reward: ...
    @property
    def solver(self) -> Solver | None: ...
    @property
    def guidance(self) -> Guidance | None: ...


def check_whole_groups(part: Grouping, composition: Composition) -> None:
    """An aligner's groups lie whole in every micro-batch of every process.

    Raises:
        ValueError: they do not fit the batch.
    """
    stage, size = composition.stage, part.group_size
    parts = stage.accumulate * composition.world.size
    if stage.batch_size % (size * parts):
        raise ValueError(
            f"train.batch_size = {stage.batch_size} in {parts} parts (train.accumulate times processes) does not hold whole "
            f"groups of aligner.{type(part).__name__}.group_size = {size} images. "
            f"Choose a batch size that is a multiple of {size * parts}."
        )


def group_sampler(part: Grouping, composition: Composition) -> GroupSampler:
    """A sampler of an aligner's groups.

    Raises:
        ValueError: the groups do not fit the batch.
    """
    check_whole_groups(part, composition)
    return GroupSampler(
        size=part.group_size,
        solver=part.solver or composition.solver,
        guidance=part.guidance,
        composition=composition,
        reward=part.reward.build(composition),
    )


def updates_on_groups(
    data: Feed, sampler: GroupSampler, model: nn.Module, losses: Losses, *, num_times: int
) -> Iterator[Update]:
    """One optimizer step on the groups that `model` samples for train.batch_size images, from `num_times` draws of each."""
    # One sample of the data is the condition of a whole group.
    conditions = replace(data, batch_size=data.batch_size // sampler.size)
    batches = [next(conditions) for _ in range(conditions.accumulate)]
    rollouts = [(batch, sampler(model, batch)) for batch in batches]
    learned = list(product(rollouts, range(num_times)))
    for number, ((batch, groups), time) in enumerate(learned, start=1):
        seen = groups.scores()
        yield Update(
            lambda batch=batch, groups=groups, time=time, seen=seen: losses(batch, groups, time, seen),
            step=number == len(learned),
            scale=1 / len(learned),
            report=lambda seen=seen: seen,
        )
