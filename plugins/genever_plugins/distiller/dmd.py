"""Distribution matching distillation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from genever.slots import CodecModule, ConditionerModule, Encoder, Guidance
from genever.training import (
    Batch,
    Composition,
    Feed,
    Field,
    Method,
    Regression,
    Round,
    Stateless,
    Update,
    derived_seed,
    named_parameters,
)
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.few_steps import Renoising, approach, check_times, step_times
from genever_plugins.distiller.pairs import Pairs, paired
from genever_plugins.distiller.perceptual import distance_of_images, role_of_encoder

__all__ = ["DMD", "DistributionMatching", "matching", "matching_round"]


@dataclass(frozen=True, kw_only=True)
class DMD:
    """A generator of a few steps, whose distribution is moved towards the teacher's by the difference of two estimates.

    The student G maps x at each of its times to its estimate of x_1; the first is the noisy end. Its sample x is noised to
    x_t, and

        gradient = (x̂_1 of the critic - x̂_1 of the teacher) / mean |x - x̂_1 of the teacher|

    points away from where the teacher's distribution is denser. The critic, a copy of the student's start, keeps learning
    the base loss on the student's samples, more often than the student learns (two time scales). The data lends its
    conditions only.

    With several steps, training walks as sampling does (backward simulation): from noise, without gradient, to the x of
    a random step, the same for the whole batch, whose estimate is the sample. This is DMD2 without its GAN, which
    distiller.DMD2 has.

    As first published, a student of one step also learns where the teacher's ODE carries a noise:

        loss = distribution matching + regression_weight · distance(G(z), y),   y = ODE(z),

    on pairs (z, y) that are made as in distiller.Reflow when the stage begins. That keeps the student from dropping modes,
    and from being better than its teacher. DMD2 leaves it out, and instead lets the critic learn more often.

    Args:
        num_steps: evaluations of the student; between two of them its estimate is noised again.
        times: t of each, rising from 0. None = evenly spaced.
        critic_updates: of the critic for each of the student.
        fake_score: whether there is a critic. False = the sample itself stands in the place of its estimate, which is score
            distillation: nothing keeps the student from the modes alone. An ablation.
        guidance: of the teacher's estimate; the student has it built in and is sampled unguided. None = conditional.
        margin: x_t is at a time uniform in [margin, 1 - margin].
        regression_weight: of the distance on pairs; 0.25 in the first paper. 0 = disable: no pairs are made.
        num_pairs: that the student learns from.
        teacher_steps: of Euler's method, from noise to data, with `guidance`.
        encoder: compares images, with encoder.LPIPS as in the paper: see distiller.InstaFlow. None = the mean square of the
            difference.
        grid: of the encoder's tokens, on each side, where it is these that are compared.

    References:
        Yin et al., One-step diffusion with distribution matching distillation, 2023 (the regression). arXiv:2311.18828
        Yin et al., Improved distribution matching distillation for fast image synthesis, 2024. arXiv:2405.14867
        Poole et al., DreamFusion: Text-to-3D using 2D diffusion, 2022 (without the critic). arXiv:2209.14988
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "encoder.differentiable | self.encoder=None")

    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[Annotated[float, Ge(0), Lt(1)]] | None = None
    critic_updates: Annotated[int, Ge(1)] = 5
    fake_score: bool = True
    guidance: Guidance | None = None
    margin: Annotated[float, Ge(0), Lt(0.5)] = 0.02
    regression_weight: Annotated[float, Ge(0)] = 0.0
    num_pairs: Annotated[int, Ge(1)] = 10_000
    teacher_steps: Annotated[int, Ge(1)] = 50
    encoder: Encoder | None = None
    grid: Annotated[int, Ge(1)] = 4

    def __post_init__(self) -> None:
        check_times("distiller.DMD", self.num_steps, self.times)
        if self.regression_weight and self.num_steps > 1:
            raise ValueError(
                f"distiller.DMD.regression_weight = {self.regression_weight} compares where a noise leads in one step, but "
                f"distiller.DMD.num_steps = {self.num_steps}, between which there is fresh noise. Set num_steps = 1, or "
                "regression_weight = 0."
            )

        if self.encoder is not None and not self.regression_weight:
            raise ValueError(
                "distiller.DMD.encoder compares images of pairs, of which distiller.DMD.regression_weight = 0 makes none. "
                "Set a weight, such as 0.25, or leave the encoder out."
            )

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        assert composition.teacher  # A stage from scratch is refused.
        return [matching_round(self, composition, lambda previous: matching(self, method, composition))]


def matching_round(part: DMD, composition: Composition, start: Callable[[Mapping[str, nn.Module]], Method]) -> Round:
    """The one round, in which the student is sampled in its own steps, unguided."""
    name = "one_step" if part.num_steps == 1 else f"{part.num_steps}_steps"
    make = paired(composition, num_steps=part.teacher_steps, guidance=part.guidance, round_number=0)
    solver = Renoising(num_steps=part.num_steps, times=part.times)
    return Round(name=name, start=start, prepare=make if part.regression_weight else None, solver=solver)


def matching(part: DMD, base: Regression, composition: Composition) -> DistributionMatching:
    """The method, its critic a copy of the student."""
    roles = {"model": base.model, "teacher": composition.teacher}
    if part.fake_score:
        roles |= {"critic": copy.deepcopy(base.model)}
    if part.regression_weight:
        roles |= {"pairs": Pairs(composition, part.num_pairs), **role_of_encoder(composition, part.encoder, part.grid)}
    return DistributionMatching(
        part=part, roles=roles, base=base, codec=composition.codec, conditioner=composition.conditioner
    )


@dataclass(frozen=True, kw_only=True)
class DistributionMatching(Stateless):
    """`genever.training.Method`: the critic follows the student, the student moves away from it and towards the teacher."""

    part: DMD
    roles: Mapping[str, nn.Module]
    base: Regression
    codec: CodecModule
    conditioner: ConditionerModule

    @property
    def frozen(self) -> frozenset[str]:
        return frozenset(self.roles) - {"model", "critic"}

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        """What the tuner lets learn of the student, and the same of the critic."""
        if not self.part.fake_score:
            return {"model": self.base.learns}
        of_critic = named_parameters(self.roles, "critic")
        names = [f"critic.{name.removeprefix('model.')}" for name in self.base.learns]
        return {"model": self.base.learns, "critic": {name: of_critic[name] for name in names}}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        for _ in range(self.part.critic_updates if self.part.fake_score else 0):
            yield from data.updates(self.critic_losses, group="critic")
        yield from data.updates(self.student_losses)

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The base loss on samples of the student."""
        error, _, _ = self.denoise(self.fake(batch), batch)
        return {"denoising": error}

    def student_losses(self, batch: Batch) -> dict[str, Tensor]:
        losses = {"distribution_matching": self.mismatch(self.sample(batch), batch)}
        if not self.part.regression_weight:
            return losses
        return {**losses, "regression": self.part.regression_weight * self.regression(batch)}

    def denoise(
        self, x_1: Tensor, batch: Batch, taps: Sequence[int] = ()
    ) -> tuple[Float[Tensor, ""], tuple[Tensor, ...], Float[Tensor, " batch"]]:
        """The critic's error on samples, the features of some of its blocks, and the times at which both were made."""
        loss, x_0, t = self.base.loss, batch.noise("critic noise"), self.base.times(batch, "critic time")
        x_t = self.base.corrupt(x_1, x_0, t)
        output, features = self.roles["critic"](*loss.inputs(x_t, t), batch.cond, taps)
        return loss.errors(output.float(), x_t=x_t, t=t, x_1=x_1, x_0=x_0).mean(), features, t

    @torch.no_grad()
    def fake(self, batch: Batch) -> Tensor:
        return self.sample(batch)

    def sample(self, batch: Batch) -> Tensor:
        """The student's estimate at a random one of its steps, which it came to without gradient."""
        field, times = self.field("model", batch), self.times(batch)
        last = derived_seed(*batch.draws.key, "exit step") % len(times)
        with torch.no_grad():
            x = approach(field, batch.noise(), times[: last + 1], lambda number: batch.noise(f"noise of time {number}"))
        return field.data(x, times[last])

    def times(self, batch: Batch) -> Float[Tensor, " steps"]:
        return step_times(self.base.loss.path, self.part.num_steps, batch.x_1.device, self.part.times)

    def regression(self, batch: Batch) -> Float[Tensor, ""]:
        """The mean distance between G(z) and y, of as many pairs (z, y) as a batch has samples."""
        pairs = self.roles["pairs"]
        assert isinstance(pairs, Pairs)
        z, batch = pairs.batch(batch, self.conditioner)
        x = Renoising(num_steps=1)(self.field("model", batch), z, generator=torch.Generator(z.device))
        if "encoder" not in self.roles:
            return (x - batch.x_1).square().mean()
        return distance_of_images(self.roles["encoder"], self.codec, x, batch.x_1).mean()

    def mismatch(self, x: Tensor, batch: Batch) -> Float[Tensor, ""]:
        """A loss whose gradient moves samples x towards the teacher's distribution."""
        return surrogate(x, self.gradient(x.detach(), batch))

    @torch.no_grad()
    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Of the divergence from the teacher's distribution, at samples x, each normalised."""
        t = self.part.margin + (1 - 2 * self.part.margin) * batch.draws.uniform("matching time")
        x_t = self.base.corrupt(x, batch.noise("matching noise"), t)
        real = self.field("teacher", batch, self.part.guidance).data(x_t, t)
        fake = self.field("critic", batch).data(x_t, t) if self.part.fake_score else x
        return matching_gradient(x, real, fake)

    def field(self, role: str, batch: Batch, guidance: Guidance | None = None) -> Field:
        return batch.field(self.roles[role], self.base.loss, guidance)


def matching_gradient(x: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """(fake - real) / mean |x - real| of each sample; 0 where that is not finite."""
    scale = (x - real).abs().flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))
    return ((fake - real) / scale).nan_to_num(0.0, 0.0, 0.0)


def surrogate(x: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose gradient in x is `gradient` / number of elements."""
    return 0.5 * (x - (x - gradient).detach()).square().mean()
