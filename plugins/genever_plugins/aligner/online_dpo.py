"""Direct preference optimization on what the model samples itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import Guidance, Reward, Solver
from genever.training import Batch, Composition, Feed, Method, Regression, Stateless, Update, follow, frozen_copy
from torch import Tensor, nn

from genever_plugins.aligner.groups import Groups, GroupSampler, group_sampler, updates_on_groups
from genever_plugins.aligner.preference_loss import Pairs, best_and_worst, pair_losses

__all__ = ["OnlineDPO"]


@dataclass(frozen=True, kw_only=True)
class OnlineDPO:
    """aligner.DiffusionDPO on pairs that the model samples as it learns, with a reference that goes along.

    Each step samples train.batch_size images in groups of one condition and scores them. The best and the worst of each
    group are a pair, learned from at several times and noises in one optimizer step. Groups whose rewards are all equal
    count for nothing. Every `refresh_steps` steps the reference becomes the model as it is then, so that the model may go
    further than one reference lets it. The conditions are those of the training data; the images that are learned from are
    the model's own.

    Args:
        reward: scores images.
        group_size: images of one condition; groups lie within a micro-batch of a process, so it divides its size.
        num_times: times and noises at which a pair is learned from.
        beta: how hard the model is held to the reference, the larger the harder, in units of 1 / error.
        refresh_steps: training steps between two refreshes of the reference. None = it stays the model before tuning.
        solver: of the rollouts. One that adds noise on the way adds other noise on another number of processes.
            None = train.solver.
        guidance: of the rollouts. None = conditional.

    References:
        Wallace et al., Diffusion model alignment using direct preference optimization, 2023, eq. (14). arXiv:2311.12908
        Guo et al., Direct language model alignment from online AI feedback, 2024. arXiv:2402.04792
        Liu et al., Flow-GRPO: Training flow matching models via online RL, 2025 (its baseline). arXiv:2505.05470
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    reward: Reward
    group_size: Annotated[int, Ge(2)] = 16
    num_times: Annotated[int, Ge(1)] = 4
    beta: Annotated[float, Gt(0)] = 100.0
    refresh_steps: Annotated[int, Ge(1)] | None = 40
    solver: Solver | None = None
    guidance: Guidance | None = None

    def align(self, method: Regression, composition: Composition) -> Method:
        stays = self.refresh_steps is None
        reference = composition.tuned.reference() if stays else frozen_copy(composition.model)
        return PreferredSamples(
            part=self,
            roles={"model": method.model, "reference": reference},
            frozen=frozenset({"reference"} if stays else ()),
            base=method,
            sampler=group_sampler(self, composition),
        )


@dataclass(frozen=True, kw_only=True)
class PreferredSamples(Stateless):
    """`genever.training.Method`: rollouts between the yields, then what their best and worst say."""

    part: OnlineDPO
    roles: Mapping[str, nn.Module]
    frozen: frozenset[str]
    base: Regression
    sampler: GroupSampler

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {"model": self.base.learns}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        return updates_on_groups(data, self.sampler, self.roles["model"], self.losses, num_times=self.part.num_times)

    def losses(self, batch: Batch, groups: Groups, time: int, seen: dict[str, Tensor]) -> dict[str, Tensor]:
        return pair_losses(
            self.pairs(batch, groups),
            base=self.base,
            roles=self.roles,
            x_0=batch.noise(f"noise {time}"),
            t=self.base.times(batch, f"time {time}"),
            beta=self.part.beta,
            seen=seen,
        )

    def pairs(self, batch: Batch, groups: Groups) -> Pairs:
        """The best and the worst of each group."""
        best, worst, differ = best_and_worst(groups.rewards)
        rows = torch.arange(len(best), device=best.device)
        return Pairs(better=groups.x_1[rows, best], worse=groups.x_1[rows, worst], differ=differ, cond=batch.training_cond())

    def after(self, group: str, step: int) -> None:
        every = self.part.refresh_steps
        if every is not None and (step + 1) % every == 0:
            names = [name.removeprefix("model.") for name in self.base.learns]
            follow(self.roles["reference"], self.roles["model"], names, decay=0.0)
