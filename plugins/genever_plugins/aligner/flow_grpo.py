"""Group relative policy optimization of a flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

from annotated_types import Ge, Gt, Le
from genever.slots import Guidance, Reward, Solver, StochasticSolver
from genever.training import Composition, Method, Regression

from genever_plugins.aligner.group_relative_policy import GroupRelativePolicy
from genever_plugins.aligner.groups import check_whole_groups

__all__ = ["FlowGRPO"]


@dataclass(frozen=True, kw_only=True)
class FlowGRPO:
    """Make what is rewarded likelier: on-policy, from groups of images of one condition.

    Each step solves for `train.batch_size` images in groups, and scores them decoded: A = (r - mean) / (std + std_offset)
    over a group. Of each noisy solver step but the last, whose mean is taken, it then minimises

        mean max(-A ρ, -A clip(ρ, 1 ± clip)) + kl_weight · KL,    ρ = p(x' | x) / p_rollout(x' | x),

    where log p is a mean over dimensions, so that `clip` is small. KL = mean (μ - μ_reference)² / (2 std²) is exact, with
    std² = s² dt: the authors' code leaves dt out, so its weight of 0.04 at 10 steps is 0.004 here. Groups whose rewards
    are all equal count for nothing. Rollouts see the same batches and precision as updates: the first ρ is exactly 1.

    The solver says which method it is: solver.FlowSDE is Flow-GRPO; in a solver.RandomWindow, Flow-GRPO-Fast; in a
    solver.SlidingWindow, MixGRPO. With solver.ConstantSDE, `same_noise`, step_share = 0.6, unbiased = True and std_offset =
    1e-8 it is DanceGRPO; with solver.DDIM at eta = 1, on a path that DDPM takes, DDPO but for the running statistics of each
    prompt, in whose place groups stand.

    Args:
        reward: scores images; conditions are those of the training data, with none dropped.
        solver: of the rollouts; fewer steps than samples are made with will do.
        group_size: images of one condition; groups lie whole in a micro-batch of a process, so it divides its size.
        same_noise: whether a group starts from the same noise, so that its images differ by the noise of the steps alone.
        num_updates: optimizer steps over each rollout. 1 = strictly on-policy, where ρ is 1 and nothing is clipped.
        step_share: share of the noisy steps that is learned from, drawn anew in each training step, for all images. 1 = all.
        clip: ρ gives no gradient once it is further than this from 1 to the better side.
        advantage_clip: largest |A|.
        std_offset: added to the standard deviation of a group's rewards, in units of the reward.
        unbiased: whether that standard deviation divides by group_size - 1.
        kl_weight: strength of the pull to the model before tuning. 0 = disable; then no reference is kept.
        guidance: of the rollouts and the updates, with gradient through both of its outputs, where the authors' code takes
            that of the conditional one alone. None = conditional.

    References:
        Liu et al., Flow-GRPO: Training flow matching models via online RL, 2025. arXiv:2505.05470
        Xue et al., DanceGRPO: Unleashing GRPO on visual generation, 2025. arXiv:2505.07818
        Li et al., MixGRPO: Unlocking flow-based GRPO efficiency with mixed ODE-SDE, 2025. arXiv:2507.21802
        Black et al., Training diffusion models with reinforcement learning, 2024. arXiv:2305.13301
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("solver.log_probs",)

    reward: Reward
    solver: Solver
    group_size: Annotated[int, Ge(2)] = 16
    same_noise: bool = False
    num_updates: Annotated[int, Ge(1)] = 2
    step_share: Annotated[float, Gt(0), Le(1)] = 1.0
    clip: Annotated[float, Gt(0)] = 1e-4
    advantage_clip: Annotated[float, Gt(0)] = 5.0
    std_offset: Annotated[float, Gt(0)] = 1e-4
    unbiased: bool = False
    kl_weight: Annotated[float, Ge(0)] = 0.004
    guidance: Guidance | None = None

    def align(self, method: Regression, composition: Composition) -> Method:
        check_whole_groups(self, composition)
        reference = {"reference": composition.tuned.reference()} if self.kl_weight else {}
        return GroupRelativePolicy(
            part=self,
            roles={"model": method.model, **reference},
            frozen=frozenset(reference),
            learns=method.learns,
            loss=method.loss,
            solver=self._noisy_solver(),
            codec=composition.codec,
            reward=self.reward.build(composition),
        )

    def _noisy_solver(self) -> StochasticSolver:
        solver = cast(StochasticSolver, self.solver)
        if not [i for i in solver.noisy_steps(0, seed=0) if i < solver.num_steps - 1]:
            raise ValueError(
                f"aligner.FlowGRPO.solver takes num_steps = {solver.num_steps} and adds no noise before the last, so there "
                "is nothing to learn from. Let it add noise, and take at least 2 steps."
            )
        return solver
