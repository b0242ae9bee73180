"""What ADD and LADD have in common: a student and a discriminator that learn in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from genever.training import Batch, Feed, Regression, Update, named_parameters
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.adversarial import Adversarial, discriminator_loss
from genever_plugins.distiller.few_steps import noised_data, step_times
from genever_plugins.distiller.gradient_penalty import Features, Penalty, Score, perturbed_r1, r1

__all__ = ["R1", "Judge", "Losses", "estimate", "groups_in_turn", "told_apart", "updates_in_turn"]

#: Named terms of a batch.
Losses = Callable[[Batch], dict[str, Tensor]]

#: Logits of features [batch, places] and, where a penalty is asked for, that of each sample.
Judge = Callable[[Features, Penalty | None], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True, kw_only=True)
class R1:
    """How steep a discriminator may be at real samples.

    Args:
        weight: of half the penalty. 0 = disable.
        noise: see `perturbed_r1`. None = exact.
    """

    weight: float
    noise: float | None

    def penalty(self, batch: Batch) -> Penalty | None:
        """None where it is disabled."""
        if self.weight == 0:
            return None
        return r1 if self.noise is None else partial(_perturbed, batch=batch, std=self.noise)


def updates_in_turn(data: Feed, discriminator: Losses, student: Losses, num_discriminator: int) -> Iterator[Update]:
    """Steps of the discriminator, then one of the student, each on a batch of its own."""
    for _ in range(num_discriminator):
        yield from data.updates(discriminator, group="discriminator")
    yield from data.updates(student)


def groups_in_turn(base: Regression, roles: Mapping[str, nn.Module]) -> dict[str, Mapping[str, nn.Parameter]]:
    """What the tuner lets learn of the student, and the whole discriminator."""
    return {"model": base.learns, "discriminator": named_parameters(roles, "discriminator")}


def estimate(base: Regression, model: nn.Module, batch: Batch, num_steps: int) -> Tensor:
    """The student's x_1 of a batch's samples, each noised to one of its times."""
    times = step_times(base.loss.path, num_steps, batch.x_1.device)
    x_t, t = noised_data(base, batch, times)
    return batch.field(model, base.loss).data(x_t, t)


def told_apart(
    kind: Adversarial, judge: Judge, real: Features, fake: Features, penalised: R1, batch: Batch
) -> dict[str, Float[Tensor, ""]]:
    """The discriminator's terms."""
    logits, penalties = judge(real, penalised.penalty(batch))
    terms = {"adversarial": discriminator_loss(kind, logits, judge(fake, None)[0])}
    if penalties is None:
        return terms
    return {**terms, "r1": penalised.weight / 2 * penalties.mean()}


def _perturbed(score: Score, features: Features, *, batch: Batch, std: float) -> Tensor:
    noises = tuple(batch.draws.normal(f"r1 {number}", tuple(one.shape[1:])) for number, one in enumerate(features))
    return perturbed_r1(score, features, noises=noises, std=std)
