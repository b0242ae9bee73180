"""Rectified flow, once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge
from genever.slots import ConditionerModule, Guidance
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Update
from torch import Tensor, nn

from genever_plugins.distiller.pairs import Pairs, paired
from genever_plugins.distiller.student import Student

__all__ = ["PairMatching", "Reflow"]


@dataclass(frozen=True, kw_only=True)
class Reflow:
    """Straighten a flow: learn anew between each noise and the very image that the flow carries it to.

    As a round begins, its model turns noise x_0 into x_1 = ODE(x_0) under conditions of the training data. The round then
    minimises the stage's loss on x_t = (1 - t) x_0 + t x_1 of these pairs,

        E |v(x_t, t) - (x_1 - x_0)|²,

    in place of noise and data that know nothing of each other. Paths that crossed no longer do, so they bend less and few
    steps will do; what is drawn stays the same but for what the ODE and the fit lose, which every round adds to. In one
    dimension one round makes paths exactly straight. Metric Straightness tells how far it got.

    Pairs are kept in half precision as the frozen role "pairs" of the run, which goes on without its start.

    Args:
        num_rounds: of reflow, each of which goes on from the one before, on pairs of its own.
        num_pairs: of each round.
        teacher_steps: of Euler's method, from noise to data.
        guidance: folded into the pairs of the first round; the student is sampled unguided. None = the student is
            conditional, and guided as the stage says.

    References:
        Liu et al., Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow, 2023, eq. (1) and
            algorithm 1. arXiv:2209.03003
        Liu et al., InstaFlow: One Step is Enough for High-Quality Diffusion-Based Text-to-Image Generation, 2024
            (guided pairs). arXiv:2309.06380
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "loss.straight")

    num_rounds: Annotated[int, Ge(1)] = 1
    num_pairs: Annotated[int, Ge(1)] = 10_000
    teacher_steps: Annotated[int, Ge(1)] = 50
    guidance: Guidance | None = None

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        # The model starts as its teacher: asked for, so that a stage from scratch is refused.
        assert composition.teacher
        return [self._round(number, method, composition) for number in range(self.num_rounds)]

    def _round(self, number: int, method: Regression, composition: Composition) -> Round:
        def start(previous: Mapping[str, nn.Module]) -> Method:
            roles = {"model": previous.get("model", method.model), "pairs": Pairs(composition, self.num_pairs)}
            drops = self.guidance is None
            return PairMatching(roles=roles, base=method, conditioner=composition.conditioner, drops=drops)

        return Round(
            name=f"reflow_{number + 1}",
            start=start,
            prepare=paired(
                composition,
                num_steps=self.teacher_steps,
                guidance=None if number else self.guidance,
                round_number=number,
            ),
            solver=composition.solver,
            guidance=composition.guidance if self.guidance is None else None,
        )


@dataclass(frozen=True, kw_only=True)
class PairMatching(Student):
    """`genever.training.Method`: the base method's error on pairs.

    Args:
        drops: whether conditions are dropped as in the base method, so that the student can be guided.
    """

    conditioner: ConditionerModule
    drops: bool

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(self.losses)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        loss, pairs = self.base.loss, self.roles["pairs"]
        assert isinstance(pairs, Pairs)
        x_0, batch = pairs.batch(batch, self.conditioner)
        t = self.base.times(batch)
        x_t = self.base.corrupt(batch.x_1, x_0, t)
        cond = batch.training_cond() if self.drops else batch.cond
        output, _ = self.roles["model"](*loss.inputs(x_t, t), cond)
        return {"loss": loss.errors(output.float(), x_t=x_t, t=t, x_1=batch.x_1, x_0=x_0).mean()}
