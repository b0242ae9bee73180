"""Latent adversarial diffusion distillation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.slots import ConditionerModule, Guidance, Sampler
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Stateless, Update
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.adversarial import Adversarial, generator_loss
from genever_plugins.distiller.alternation import R1, estimate, groups_in_turn, told_apart, updates_in_turn
from genever_plugins.distiller.discriminator import Discriminator
from genever_plugins.distiller.few_steps import Renoising
from genever_plugins.distiller.gradient_penalty import Features, Penalty
from genever_plugins.distiller.synthetic import Synthetic, synthesised
from genever_plugins.distiller.taps import num_blocks, tapped

__all__ = ["LADD"]


@dataclass(frozen=True, kw_only=True)
class LADD:
    """A student of few steps that a discriminator on its teacher's own features finds real, without leaving latent space.

    The student estimates x̂ from samples noised to one of its times, the first of which is noise alone. Real samples and
    x̂ are noised to a level t', and shown to the frozen teacher under their condition; heads on several of its blocks,
    which are told t', tell them apart. The student minimises the adversarial loss of x̂ alone, whose gradient flows through
    the teacher: no image is decoded, no other network is needed, and t' says whether structure (noisy) or detail counts.
    Discriminator and student learn in turn, from batches of their own; the former is the optimizer group "discriminator".

    Args:
        taps: the teacher's blocks that heads read, counted from 1. None = all of them.
        sampler: of t'. None = logit t' ~ Normal(-1, 1), which prefers noise. (The paper's levels run from data to noise, and
            its mean is +1.)
        num_steps: evaluations of the student; its times are evenly spaced, and its estimate is noised again between them.
        num_synthetic: samples that the teacher makes before training, by the stage's solver for conditions of the data; they
            are all that is learned from, and belong to the run as its frozen role "synthetic". 0 = learn from the data.
        synthetic_guidance: of these. None = conditional.
        adversarial: see `genever_plugins.distiller.adversarial`.
        discriminator_updates: for each of the student.
        r1_weight: of half the squared slope of the mean logit in the features of real samples. 0 = disable.
        r1_noise: standard deviation of a perturbation that estimates that slope. None = exact, by a second derivative.
        head_width: hidden width of each head.

    References:
        Sauer et al., Fast high-resolution image synthesis with latent adversarial diffusion distillation, 2024.
            arXiv:2403.12015
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "backbone.taps")

    taps: Sequence[Annotated[int, Ge(1)]] | None = None
    sampler: Sampler | None = None
    num_steps: Annotated[int, Ge(1)] = 4
    num_synthetic: Annotated[int, Ge(0)] = 0
    synthetic_guidance: Guidance | None = None
    adversarial: Adversarial = "hinge"
    discriminator_updates: Annotated[int, Ge(1)] = 1
    r1_weight: Annotated[float, Ge(0)] = 1e-5
    r1_noise: Annotated[float, Gt(0)] | None = None
    head_width: Annotated[int, Ge(1)] = 256

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        teacher, taps = composition.teacher, self._taps(composition)
        width = tapped(composition, "distiller.LADD.taps", taps).feature_width
        widths = [width] * len(taps)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            frozen: dict[str, nn.Module] = {"teacher": teacher}
            if self.num_synthetic:
                frozen["synthetic"] = Synthetic(composition, self.num_synthetic)
            heads = composition.build_seeded("discriminator", lambda: Discriminator(widths, self.head_width, timed=True))
            return LatentAdversarial(
                part=self,
                taps=taps,
                roles={"model": method.model, "discriminator": heads, **frozen},
                frozen=frozenset(frozen),
                base=method,
                conditioner=composition.conditioner,
            )

        prepare = synthesised(composition, self.synthetic_guidance) if self.num_synthetic else None
        return [Round(name="adversarial", start=start, prepare=prepare, solver=Renoising(num_steps=self.num_steps))]

    def _taps(self, composition: Composition) -> tuple[int, ...]:
        return tuple(range(1, num_blocks(composition) + 1) if self.taps is None else self.taps)


@dataclass(frozen=True, kw_only=True)
class LatentAdversarial(Stateless):
    """`genever.training.Method`: the discriminator learns to tell the student's samples, then the student not to be told.

    Args:
        taps: blocks of the teacher.
        conditioner: leaves out the condition of synthetic samples.
    """

    part: LADD
    taps: tuple[int, ...]
    roles: Mapping[str, nn.Module]
    frozen: frozenset[str]
    base: Regression
    conditioner: ConditionerModule

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return groups_in_turn(self.base, self.roles)

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        num = self.part.discriminator_updates
        yield from updates_in_turn(data, self.discriminator_losses, self.student_losses, num)

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = self.learned_from(batch)
        t = self.levels(batch)
        with torch.no_grad():
            fake = self.features(self.sample(batch), "fake noise", batch, t)
            real = self.features(batch.x_1, "real noise", batch, t)
        penalised = R1(weight=self.part.r1_weight, noise=self.part.r1_noise)
        return told_apart(
            self.part.adversarial, lambda seen, penalty: self.judge(seen, t, penalty), real, fake, penalised, batch
        )

    def student_losses(self, batch: Batch) -> dict[str, Tensor]:
        batch = self.learned_from(batch)
        t = self.levels(batch)
        logits, _ = self.judge(self.features(self.sample(batch), "fake noise", batch, t), t)
        return {"adversarial": generator_loss(self.part.adversarial, logits)}

    def learned_from(self, batch: Batch) -> Batch:
        """Samples of the data, or the teacher's in their place."""
        synthetic = self.roles.get("synthetic")
        return synthetic.batch(batch, self.conditioner) if isinstance(synthetic, Synthetic) else batch

    def sample(self, batch: Batch) -> Tensor:
        return estimate(self.base, self.roles["model"], batch, self.part.num_steps)

    def levels(self, batch: Batch) -> Float[Tensor, " batch"]:
        """t' of each sample, within what the path can show."""
        if self.part.sampler is not None:
            return replace(self.base, sampler=self.part.sampler).times(batch, "level")
        path = self.base.loss.path
        return torch.sigmoid(batch.draws.normal("level", ()) - 1).clamp(path.start, path.stop)

    def features(self, x_1: Tensor, noise: str, batch: Batch, t: Float[Tensor, " batch"]) -> Features:
        """The teacher's, of noised samples. A gradient flows through to the samples."""
        x_t = self.base.corrupt(x_1, batch.noise(noise), t)
        return self.roles["teacher"](*self.base.loss.inputs(x_t, t), batch.cond, self.taps)[1]

    def judge(
        self, features: Features, t: Float[Tensor, " batch"], penalty: Penalty | None = None
    ) -> tuple[Tensor, Tensor | None]:
        return self.roles["discriminator"](features, t, None, penalty)
