"""InstaFlow's last stage: a straight flow, distilled into one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import CodecModule, ConditionerModule, Encoder, Guidance
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Update
from torch import Tensor, nn

from genever_plugins.distiller.pairs import Pairs, paired
from genever_plugins.distiller.perceptual import distance_of_images, role_of_encoder
from genever_plugins.distiller.progressive import StudentSteps
from genever_plugins.distiller.student import Student

__all__ = ["InstaFlow"]


@dataclass(frozen=True, kw_only=True)
class InstaFlow:
    """Learn to go in one step where the teacher's ODE goes: x_0 + v(x_0, 0) = ODE(x_0).

    Pairs are made as in distiller.Reflow. The error is |x_0 + v(x_0, 0) - x_1|², a mean over dimensions, for the first
    steps, and then the distance of the decoded images, which forgives what nobody sees: with encoder.LPIPS its own, as in
    the paper, else that of the encoder's features, each token's normalised. The straighter the teacher, the less is left to
    learn: start from a run of distiller.Reflow.

    Args:
        encoder: compares images. None = the first error all the time.
        grid: of the encoder's tokens, on each side, where it is these that are compared.
        warmup_steps: steps of the first error alone.
        l2_weight: of the first error afterwards, beside the features' 1. 0 = disable, as in the paper.
        num_pairs: that the student learns from.
        teacher_steps: of Euler's method, from noise to data.
        guidance: of the teacher, folded into the student, which is sampled unguided. None = conditional.

    References:
        Liu et al., InstaFlow: One Step is Enough for High-Quality Diffusion-Based Text-to-Image Generation, 2024.
            arXiv:2309.06380
        Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, 2018, eq. (1).
            arXiv:1801.03924
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "loss.straight", "encoder.differentiable | self.encoder=None")

    encoder: Encoder | None = None
    grid: Annotated[int, Ge(1)] = 4
    warmup_steps: Annotated[int, Ge(0)] = 0
    l2_weight: Annotated[float, Ge(0)] = 0.0
    num_pairs: Annotated[int, Ge(1)] = 10_000
    teacher_steps: Annotated[int, Ge(1)] = 50
    guidance: Guidance | None = None

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        assert composition.teacher  # A stage from scratch is refused.
        encoder = role_of_encoder(composition, self.encoder, self.grid)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            roles = {"model": method.model, "pairs": Pairs(composition, self.num_pairs), **encoder}
            return OneStep(part=self, roles=roles, base=method, codec=composition.codec, conditioner=composition.conditioner)

        make = paired(composition, num_steps=self.teacher_steps, guidance=self.guidance, round_number=0)
        return [Round(name="one_step", start=start, prepare=make, solver=StudentSteps(num_steps=1))]


@dataclass(frozen=True, kw_only=True)
class OneStep(Student):
    """`genever.training.Method`: the error of the student's only step, in latents first and then in features."""

    part: InstaFlow
    codec: CodecModule
    conditioner: ConditionerModule

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        yield from data.updates(lambda batch: self.losses(batch, step))

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        pairs, loss = self.roles["pairs"], self.base.loss
        assert isinstance(pairs, Pairs)
        x_0, batch = pairs.batch(batch, self.conditioner)
        field = batch.field(self.roles["model"], loss)
        x_1 = StudentSteps(num_steps=1)(field, x_0, generator=torch.Generator(x_0.device))
        l2 = (x_1 - batch.x_1).square().mean()
        if "encoder" not in self.roles or step < self.part.warmup_steps:
            return {"l2": l2}
        perceptual = {"perceptual": distance_of_images(self.roles["encoder"], self.codec, x_1, batch.x_1).mean()}
        return {**perceptual, "l2": self.part.l2_weight * l2} if self.part.l2_weight else perceptual
