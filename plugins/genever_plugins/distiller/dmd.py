"""Distribution matching distillation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Lt
from genever.slots import Guidance
from genever.training import Batch, Composition, Feed, Field, Method, Regression, Round, Stateless, Update, named_parameters
from torch import Tensor, nn

__all__ = ["DMD"]


@dataclass(frozen=True, kw_only=True)
class DMD:
    """A generator of one step, whose distribution is moved towards the teacher's by the difference of two estimates.

    The student G maps noise to data by its estimate of x_1 at the noisy end. Its sample x is noised to x_t, and

        gradient = (x̂_1 of the critic - x̂_1 of the teacher) / mean |x - x̂_1 of the teacher|

    points away from where the teacher's distribution is denser. The critic, a copy of the student's start, keeps learning
    the base loss on the student's samples, more often than the student learns (two time scales). This is DMD2 without its
    GAN; the data lends its conditions only.

    Args:
        critic_updates: of the critic for each of the student.
        guidance: of the teacher's estimate; the student has it built in and is sampled unguided. None = conditional.
        margin: x_t is at a time uniform in [margin, 1 - margin].

    References:
        Yin et al., One-step diffusion with distribution matching distillation, 2023. arXiv:2311.18828
        Yin et al., Improved distribution matching distillation for fast image synthesis, 2024. arXiv:2405.14867
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "loss.gaussian")

    critic_updates: Annotated[int, Ge(1)] = 5
    guidance: Guidance | None = None
    margin: Annotated[float, Ge(0), Lt(0.5)] = 0.02

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        teacher = composition.teacher

        def start(previous: Mapping[str, nn.Module]) -> Method:
            roles = {"model": method.model, "teacher": teacher, "critic": copy.deepcopy(method.model)}
            return DistributionMatching(part=self, roles=roles, base=method)

        return [Round(name="one_step", start=start, solver=OneStep())]


@dataclass(frozen=True, kw_only=True)
class OneStep:
    """`genever.slots.Solver`: the estimate of x_1 from noise alone."""

    def __call__(self, field: Field, noise: Tensor, *, generator: torch.Generator) -> Tensor:
        return generate(field, noise)


@dataclass(frozen=True, kw_only=True)
class DistributionMatching(Stateless):
    """`genever.training.Method`: the critic follows the student, the student moves away from it and towards the teacher."""

    part: DMD
    roles: Mapping[str, nn.Module]
    base: Regression
    frozen: frozenset[str] = frozenset({"teacher"})

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        """What the tuner lets learn of the student, and the same of the critic."""
        of_critic = named_parameters(self.roles, "critic")
        names = [f"critic.{name.removeprefix('model.')}" for name in self.base.learns]
        return {"model": self.base.learns, "critic": {name: of_critic[name] for name in names}}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        for _ in range(self.part.critic_updates):
            yield from data.updates(self.critic_losses, group="critic")
        yield from data.updates(self.student_losses)

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The base loss on samples of the student."""
        with torch.no_grad():
            x_1 = self.sample(batch)
        loss, x_0, t = self.base.loss, batch.noise("critic noise"), self.base.times(batch, "critic time")
        x_t = self.base.corrupt(x_1, x_0, t)
        output, _ = self.roles["critic"](*loss.inputs(x_t, t), batch.cond)
        return {"denoising": loss.errors(output.float(), x_t=x_t, t=t, x_1=x_1, x_0=x_0).mean()}

    def student_losses(self, batch: Batch) -> dict[str, Tensor]:
        x = self.sample(batch)
        return {"distribution_matching": surrogate(x, self.gradient(x.detach(), batch))}

    def sample(self, batch: Batch) -> Tensor:
        return generate(self.field("model", batch), batch.noise())

    @torch.no_grad()
    def gradient(self, x: Tensor, batch: Batch) -> Tensor:
        """Of the divergence from the teacher's distribution, at samples x, each normalised."""
        t = self.part.margin + (1 - 2 * self.part.margin) * batch.draws.uniform("matching time")
        x_t = self.base.corrupt(x, batch.noise("matching noise"), t)
        real = self.field("teacher", batch, self.part.guidance).data(x_t, t)
        fake = self.field("critic", batch).data(x_t, t)
        return matching_gradient(x, real, fake)

    def field(self, role: str, batch: Batch, guidance: Guidance | None = None) -> Field:
        return Field(self.roles[role], self.base.loss, batch.cond, guidance=guidance, null=batch.null)


def generate(field: Field, noise: Tensor) -> Tensor:
    """The estimate of x_1 at the noisy end of the path."""
    start = torch.full((), field.path.start, device=noise.device)
    return field.data(field.path.sigma(start) * noise, start)


def matching_gradient(x: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """(fake - real) / mean |x - real| of each sample; 0 where that is not finite."""
    scale = (x - real).abs().flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))
    return ((fake - real) / scale).nan_to_num(0.0, 0.0, 0.0)


def surrogate(x: Tensor, gradient: Tensor) -> Tensor:
    """A loss whose gradient in x is `gradient` / number of elements."""
    return 0.5 * (x - (x - gradient).detach()).square().mean()
