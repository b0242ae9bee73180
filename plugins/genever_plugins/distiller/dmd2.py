"""Distribution matching distillation with a discriminator on real data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Lt
from genever.slots import Guidance
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Stateless, Update, named_parameters
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.adversarial import Adversarial, discriminator_loss, generator_loss
from genever_plugins.distiller.discriminator import Discriminator
from genever_plugins.distiller.dmd import DMD, DistributionMatching, matching, matching_round
from genever_plugins.distiller.few_steps import check_times
from genever_plugins.distiller.taps import num_blocks, tapped

__all__ = ["DMD2"]


@dataclass(frozen=True, kw_only=True)
class DMD2:
    """Distribution matching, and a discriminator for what the teacher does not know of the data.

    To distiller.DMD, without its regression on pairs, is added a head on the features of a block of the critic, which is
    shown real and fake samples, both noised. Head and critic learn together, from

        critic: denoising + critic_gan_weight · (adversarial loss of real against fake),
        student: distribution matching + gan_weight · (adversarial loss of fake),

    so that the student can be better than its teacher. The head belongs to the optimizer group "critic", since it is the
    critic that learns features by which the two can be told apart. Real data is used in the critic's updates alone.

    Args:
        gan_weight: of the student's adversarial loss; 1e-3 to 5e-3 in the paper. 0 = disable: every step is that of
            distiller.DMD, bit for bit.
        critic_gan_weight: of the critic's.
        adversarial: 'logistic' in the paper.
        tap: the block whose features the head reads, counted from 1. None = the middle one.
        head_width: hidden width of the head.
        num_steps: evaluations of the student; between two of them its estimate is noised again.
        times: t of each, rising from 0. None = evenly spaced.
        critic_updates: of critic and head for each of the student.
        guidance: of the teacher's estimate; the student has it built in and is sampled unguided. None = conditional.
        margin: distributions are matched at a time uniform in [margin, 1 - margin].

    References:
        Yin et al., Improved distribution matching distillation for fast image synthesis, 2024. arXiv:2405.14867
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "backbone.taps")

    gan_weight: Annotated[float, Ge(0)] = 3e-3
    critic_gan_weight: Annotated[float, Gt(0)] = 1e-2
    adversarial: Adversarial = "logistic"
    tap: Annotated[int, Ge(1)] | None = None
    head_width: Annotated[int, Ge(1)] = 256
    num_steps: Annotated[int, Ge(1)] = 1
    times: Sequence[Annotated[float, Ge(0), Lt(1)]] | None = None
    critic_updates: Annotated[int, Ge(1)] = 5
    guidance: Guidance | None = None
    margin: Annotated[float, Ge(0), Lt(0.5)] = 0.02

    def __post_init__(self) -> None:
        check_times("distiller.DMD2", self.num_steps, self.times)

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        shared = {one.name for one in fields(DMD)} & {one.name for one in fields(self)}
        plain = DMD(**{name: getattr(self, name) for name in shared})
        if self.gan_weight == 0:
            return plain.distil(method, composition)
        assert composition.teacher  # A stage from scratch is refused.
        tap = self.tap if self.tap is not None else (num_blocks(composition) + 1) // 2
        width = tapped(composition, "distiller.DMD2.tap", [tap]).feature_width

        def start(previous: Mapping[str, nn.Module]) -> Method:
            head = composition.build_seeded("discriminator", lambda: Discriminator([width], self.head_width, timed=True))
            inner = matching(plain, method, composition)
            return AdversarialMatching(part=self, matching=inner, tap=tap, roles={**inner.roles, "discriminator": head})

        return [matching_round(plain, composition, start)]


@dataclass(frozen=True, kw_only=True)
class AdversarialMatching(Stateless):
    """`genever.training.Method`: distribution matching, with an adversarial term in either loss.

    Args:
        tap: the critic's block that the discriminator reads.
    """

    part: DMD2
    matching: DistributionMatching
    tap: int
    roles: Mapping[str, nn.Module]
    frozen: frozenset[str] = frozenset({"teacher"})

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        found = self.matching.groups()
        return {**found, "critic": {**found["critic"], **named_parameters(self.roles, "discriminator")}}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        for _ in range(self.part.critic_updates):
            yield from data.updates(self.critic_losses, group="critic")
        yield from data.updates(self.student_losses)

    def critic_losses(self, batch: Batch) -> dict[str, Tensor]:
        error, fake, t = self.matching.denoise(self.matching.fake(batch), batch, (self.tap,))
        real = self.features(batch.x_1, batch, "real noise", t)
        told_apart = discriminator_loss(self.part.adversarial, self.logits(real, t), self.logits(fake, t))
        return {"denoising": error, "discriminator": self.part.critic_gan_weight * told_apart}

    def student_losses(self, batch: Batch) -> dict[str, Tensor]:
        x, t = self.matching.sample(batch), self.matching.base.times(batch, "adversarial time")
        fooling = generator_loss(self.part.adversarial, self.logits(self.features(x, batch, "adversarial noise", t), t))
        return {
            "distribution_matching": self.matching.mismatch(x, batch),
            "adversarial": self.part.gan_weight * fooling,
        }

    def features(self, x_1: Tensor, batch: Batch, noise: str, t: Float[Tensor, " batch"]) -> tuple[Tensor, ...]:
        """The critic's, of noised samples."""
        base = self.matching.base
        x_t = base.corrupt(x_1, batch.noise(noise), t)
        return self.roles["critic"](*base.loss.inputs(x_t, t), batch.cond, (self.tap,))[1]

    def logits(self, features: tuple[Tensor, ...], t: Float[Tensor, " batch"]) -> Float[Tensor, " batch places"]:
        return self.roles["discriminator"](features, t)[0]
