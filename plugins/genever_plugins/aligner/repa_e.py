"""Representation alignment that trains the codec too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, ClassVar, cast

import torch
from annotated_types import Ge, Le
from genever.slots import Encoder, LearnableCodecModule
from genever.training import Batch, Composition, Feed, Method, Regression, Stateless, Update, World, named_parameters
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.alignment import Alignment
from genever_plugins.aligner.repa import REPA

__all__ = ["REPAE"]


@dataclass(frozen=True, kw_only=True)
class REPAE:
    """REPA-E: the codec learns end to end with the model, through the alignment of the model's features.

    With L_proj = -mean over tokens of cos(encoder(image), projector(features)), as in `aligner.REPA`, a step updates

        codec:  mean |decode(z) - image| + kl_weight · KL(z | image) + codec_weight · L_proj(z),
        model:  base loss(z) + weight · L_proj(z),

    both on the latents z, times and noise of before the step. In the first, model and projector are frozen and in
    evaluation mode, and no condition is dropped; in the second, the codec is frozen: no gradient of the base loss ever
    reaches the codec, which would make latents trivial. The group "codec" has its own optimizer, if
    `train.group_optimizers` names one.

    While the codec learns, running statistics keep its latents at mean 0 and variance 1, channel by channel. They are the
    codec's shift and scale, and are saved with it; the authors have them in the model, which in training uses those of the
    batch instead. Weights of the codec are not averaged: every average of the model is sampled through the codec as it is.
    Validation losses of different steps are on different latents.

    Left out are LPIPS and the adversarial loss of the authors' reconstruction.

    Args:
        encoder: whose features to approach; it sees clean images, and no condition.
        tap: the block whose output is projected, counted from 1; at about a third of the depth in the paper.
        weight: strength of the alignment where the model learns, relative to the base loss.
        codec_weight: strength of the alignment where the codec learns, relative to its mean absolute error on images in
            [-1, 1]. 0 = the codec learns to reconstruct only.
        kl_weight: strength of the posteriors' divergence from N(0, 1), a mean over dimensions. For a sum over them, as in
            most autoencoders' code, multiply its weight by their number: 1e-6 of 4x32x32 latents is 0.004 here.
        momentum: share of a step's statistics in the running ones. 0 = latents keep the codec's first shift and scale.
        projector_width: hidden width of the projector.

    References:
        Leng et al., REPA-E: Unlocking VAE for end-to-end tuning with latent diffusion transformers, 2025.
            arXiv:2504.10483
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps", "codec.learnable")

    encoder: Encoder
    tap: Annotated[int, Ge(1)]
    weight: Annotated[float, Ge(0)] = 0.5
    codec_weight: Annotated[float, Ge(0)] = 1.5
    kl_weight: Annotated[float, Ge(0)] = 0.004
    momentum: Annotated[float, Ge(0), Le(1)] = 0.1
    projector_width: Annotated[int, Ge(1)] = 2048

    def align(self, method: Regression, composition: Composition) -> Method:
        repa = REPA(encoder=self.encoder, tap=self.tap, weight=self.weight, projector_width=self.projector_width)
        term = repa.term(composition, "aligner.REPAE")
        base = method.adding(term)
        return EndToEnd(
            part=self,
            base=base,
            roles={**base.roles, "codec": cast(nn.Module, composition.codec)},
            term=Alignment(tap=self.tap, **term.roles, weight=self.codec_weight, stop_step=None),
            world=composition.world,
        )


@dataclass(frozen=True, kw_only=True)
class EndToEnd(Stateless):
    """`genever.training.Method`: the codec learns from the model's features, then the model from the codec's latents.

    Args:
        base: what the model learns.
        term: what the codec learns through the model.
        moments: of this step's latents so far: mean and mean square of each channel, [2, channels, 1, 1].
    """

    part: REPAE
    base: Regression
    roles: Mapping[str, nn.Module]
    term: Alignment
    world: World
    moments: list[Tensor] = field(default_factory=list)

    @property
    def frozen(self) -> frozenset[str]:
        return self.base.frozen

    @property
    def codec(self) -> LearnableCodecModule:
        return cast(LearnableCodecModule, self.roles["codec"])

    def groups(self) -> Mapping[str, Mapping[str, nn.Parameter]]:
        return {**self.base.groups(), "codec": named_parameters(self.roles, "codec")}

    def updates(self, data: Feed, step: int) -> Iterator[Update]:
        """The codec's, then the model's on the same batches, whose latents are those of before."""
        batches = [next(data) for _ in range(data.accumulate)]
        for group, losses in (("codec", self.codec_losses), ("model", self.base.losses)):
            for number, batch in enumerate(batches, start=1):
                is_last = number == len(batches)
                yield Update(partial(losses, batch, step), group, step=is_last, scale=1 / len(batches))

    def codec_losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Reconstruction and divergence, in full precision as everywhere in codecs, and alignment."""
        noise = batch.draws.normal("posterior", batch.latent.shape)
        with torch.autocast(noise.device.type, enabled=False):
            latents, decoded, divergence = self.codec(batch.images, noise)
        self.moments.append(moments_of(latents.detach()))
        losses = {
            "reconstruction": (decoded - batch.images).abs().mean(),
            "divergence": self.part.kl_weight * divergence.mean(),
        }
        if self.term.active(step):
            losses |= self.alignment(replace(batch, x_1=latents, dropout=0.0), step)
        return losses

    def alignment(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """The term on latents that have a gradient, through the model in evaluation mode."""
        model = self.roles["model"]
        was_training = model.training
        model.eval()
        forward = self.base.forward(batch, step, self.term.taps)
        model.train(was_training)
        return self.term(forward)

    @torch.no_grad()
    def after(self, group: str, step: int) -> None:
        if group == "codec":
            moments = self.world.mean(torch.stack(self.moments).mean(0))
            self.moments.clear()
            standardise(self.codec, moments, self.part.momentum)
        else:
            self.base.after(group, step)


def moments_of(latents: Float[Tensor, " batch channels rows columns"]) -> Float[Tensor, " 2 channels 1 1"]:
    """Mean and mean square of each channel."""
    return torch.stack([latents, latents.square()]).mean((1, 3, 4)).unflatten(1, (-1, 1, 1))


def standardise(codec: LearnableCodecModule, moments: Float[Tensor, " 2 channels 1 1"], momentum: float) -> None:
    """Moves a codec's running statistics towards those of latents that it made; moments that are not finite are passed over.

    With mean m and variance v of its latents, those of z have been shift + m / scale and v / scale².
    """
    mean, square = moments
    variance = (square - mean.square()).clamp(min=0)
    change, factor = momentum * mean / codec.scale, (1 - momentum + momentum * variance).rsqrt()
    finite = change.isfinite() & factor.isfinite()
    codec.shift += torch.where(finite, change, 0.0)
    codec.scale *= torch.where(finite, factor, 1.0)
