"""Adversarial diffusion distillation."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Gt, Lt
from genever.slots import CodecModule, Encoder, EncoderModule, Guidance
from genever.training import Batch, Composition, Feed, Method, Regression, Round, Stateless, Update
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.distiller.adversarial import Adversarial, generator_loss
from genever_plugins.distiller.alternation import R1, estimate, groups_in_turn, told_apart, updates_in_turn
from genever_plugins.distiller.discriminator import Discriminator
from genever_plugins.distiller.few_steps import Renoising
from genever_plugins.distiller.gradient_penalty import Features, Penalty

__all__ = ["ADD"]


@dataclass(frozen=True, kw_only=True)
class ADD:
    """A student of few steps that a discriminator finds real and that its teacher agrees with.

    The student estimates x̂ from data noised to one of its times, the first of which is noise alone. Heads on the features
    of a frozen encoder, conditioned as the model is, tell the decoded x̂ from images of the data. The student minimises

        weight · (adversarial loss of x̂) + distil_weight · E alpha(t) mean |x̂ - x̂_1 of the teacher at (x̂ noised to t)|²

    where no gradient enters the teacher. What a regression of its teacher would blur, a discriminator sees. The gradient
    flows through the encoder and the codec's decoder. Discriminator and student learn in turn, from batches of their own;
    the former is the optimizer group "discriminator".

    Args:
        encoder: whose features the heads read.
        grid: of the encoder's tokens, on each side. 1 = one token of the whole image.
        num_steps: evaluations of the student; its times are evenly spaced, and its estimate is noised again between them.
        weight: of the student's adversarial loss.
        distil_weight: of the distillation, a mean over dimensions; the paper's 2.5 is of a sum, so 2.5 times their number
            here. 0 = disable: nothing then tells the student what its teacher would draw.
        adversarial: see `genever_plugins.distiller.adversarial`.
        discriminator_updates: for each of the student.
        r1_weight: of half the squared slope of the mean logit in the features of real images. 0 = disable.
        r1_noise: standard deviation of a perturbation that estimates that slope. None = exact, by a second derivative.
        head_width: hidden width of each head.
        guidance: of the teacher's estimate; the student is sampled unguided. None = conditional.
        margin: x̂ is noised to a time uniform in [margin, 1 - margin].

    References:
        Sauer et al., Adversarial diffusion distillation, 2023, eq. (1)-(5). arXiv:2311.17042
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "encoder.differentiable")

    encoder: Encoder
    grid: Annotated[int, Ge(1)] = 4
    num_steps: Annotated[int, Ge(1)] = 4
    weight: Annotated[float, Gt(0)] = 1.0
    distil_weight: Annotated[float, Ge(0)] = 2.5
    adversarial: Adversarial = "hinge"
    discriminator_updates: Annotated[int, Ge(1)] = 1
    r1_weight: Annotated[float, Ge(0)] = 1e-5
    r1_noise: Annotated[float, Gt(0)] | None = None
    head_width: Annotated[int, Ge(1)] = 256
    guidance: Guidance | None = None
    margin: Annotated[float, Ge(0), Lt(0.5)] = 0.02

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]:
        teacher = composition.teacher
        encoder = self._encoder(composition)

        def discriminator() -> nn.Module:
            width = cast(EncoderModule, encoder).width
            return Discriminator([width], self.head_width, spec=composition.conditioner.spec)

        def start(previous: Mapping[str, nn.Module]) -> Method:
            roles = {
                "model": method.model,
                "teacher": teacher,
                "encoder": encoder,
                # The teacher's own may lie in shards, which only its forward pass puts together.
                "conditioner": copy.deepcopy(teacher.conditioner),
                "discriminator": composition.build_seeded("discriminator", discriminator),
            }
            return AdversarialDistillation(part=self, roles=roles, base=method, codec=composition.codec)

        return [Round(name="adversarial", start=start, solver=Renoising(num_steps=self.num_steps))]

    def _encoder(self, composition: Composition) -> nn.Module:
        if len(composition.sizes) > 1:
            data = type(composition.stage.data).__name__
            raise ValueError(
                f"distiller.ADD shows an encoder images of one size, but train.data = {data} has {len(composition.sizes)}. "
                "Distil in a stage of one size, or with @LADD(), which needs no encoder."
            )
        built = composition.build_seeded("encoder", lambda: self.encoder.build(composition, (self.grid, self.grid)))
        return built.requires_grad_(False).eval()


@dataclass(frozen=True, kw_only=True)
class AdversarialDistillation(Stateless):
    """`genever.training.Method`: the discriminator learns to tell the student's images, then the student not to be told."""

    part: ADD
    roles: Mapping[str, nn.Module]
    base: Regression
    codec: CodecModule
    frozen: frozenset[str] = frozenset({"teacher", "encoder", "conditioner"})

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return groups_in_turn(self.base, self.roles)

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        num = self.part.discriminator_updates
        yield from updates_in_turn(data, self.discriminator_losses, self.student_losses, num)

    def discriminator_losses(self, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            real, fake = self.seen(batch.images), self.features(self.sample(batch))
        penalised = R1(weight=self.part.r1_weight, noise=self.part.r1_noise)
        return told_apart(
            self.part.adversarial, lambda seen, penalty: self.judge(seen, batch, penalty), real, fake, penalised, batch
        )

    def student_losses(self, batch: Batch) -> dict[str, Tensor]:
        x = self.sample(batch)
        logits, _ = self.judge(self.features(x), batch)
        terms = {"adversarial": self.part.weight * generator_loss(self.part.adversarial, logits)}
        return {**terms, "distillation": self.disagreement(x, batch)} if self.part.distil_weight else terms

    def disagreement(self, x: Tensor, batch: Batch) -> Float[Tensor, ""]:
        """The weighted error of samples against what the teacher makes of them once they are noised."""
        t = self.part.margin + (1 - 2 * self.part.margin) * batch.draws.uniform("distillation time")
        with torch.no_grad():
            x_t = self.base.corrupt(x.detach(), batch.noise("distillation noise"), t)
            target = batch.field(self.roles["teacher"], self.base.loss, self.part.guidance).data(x_t, t)
        errors = (x - target).square().flatten(1).mean(1)
        return self.part.distil_weight * (self.base.loss.path.alpha(t) * errors).mean()  # eq. (4), c(t) = alpha(t)

    def sample(self, batch: Batch) -> Tensor:
        return estimate(self.base, self.roles["model"], batch, self.part.num_steps)

    def features(self, x: Tensor) -> Features:
        """The encoder's, of what the codec makes of latents. Nothing is cut off at black and white: that has no slope."""
        with torch.autocast(x.device.type, enabled=False):
            return self.seen(self.codec.decode(x.float()))

    def seen(self, images: Tensor) -> Features:
        with torch.autocast(images.device.type, enabled=False):
            return (self.roles["encoder"](images),)

    def judge(self, features: Features, batch: Batch, penalty: Penalty | None = None) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            condition = self.roles["conditioner"](batch.cond)
        return self.roles["discriminator"](features, None, condition, penalty)
