"""Keep what a model draws of a class while it learns one thing of that class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, MinLen
from genever.slots import Tuner
from genever.training import Batch, Composition, Forward, Method, Regression, Tuned, sample
from genever.values import DataSpec, Samples
from jaxtyping import Int
from torch import Tensor, nn

from genever_plugins.tuner.textual_inversion import TextualInversion

__all__ = ["DreamBooth"]

#: Numbers of samples that no evaluation reaches: prior images are made of noise of their own.
FIRST = 2**40


@dataclass(frozen=True, kw_only=True)
class DreamBooth:
    """Prior preservation: what is learned of one thing shall not overwrite what the model knew of its class.

    Before training, the model of `train.start` makes images of the class, with the stage's solver and guidance. Each step
    then learns from a batch of these beside the batch of the data,

        loss = E |u(x_t, t, c) - (x_1 - x_0)|² + prior_weight · E |u(x'_t, t', c_prior) - (x'_1 - x'_0)|²,

    where x'_1 is an image of the prior; the error is that of the stage's loss, whichever it is. A step costs twice as much.
    Images are kept in 8 bits, as the frozen role "prior" of the run: to go on with it, its start is not needed.

    Args:
        tuner: decides which weights learn.
        captions: what prior images are asked for, in turn: the class, without the new word; with it around
            TextualInversion, where nothing but the word learns. None = `labels` says it.
        labels: the same where the model reads labels. None = `captions` says it.
        num_prior: images of the prior; 100 to 200 in the paper.
        prior_weight: strength of the second term. 0 = disable: every step is that of `tuner` alone, bit for bit.

    References:
        Ruiz et al., DreamBooth: Fine tuning text-to-image diffusion models for subject-driven generation, 2022, eq. (2).
            arXiv:2208.12242
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("train.start", "self.captions | self.labels")
    defaults: ClassVar[dict[str, str]] = {"tuner": "tuner.Full"}

    tuner: Tuner
    captions: Annotated[Sequence[str], MinLen(1)] | None = None
    labels: Annotated[Sequence[Annotated[int, Ge(0)]], MinLen(1)] | None = None
    num_prior: Annotated[int, Ge(1)] = 200
    prior_weight: Annotated[float, Ge(0)] = 1.0

    def __post_init__(self) -> None:
        if (self.captions is None) == (self.labels is None):
            raise ValueError(
                f"tuner.DreamBooth.captions = {self.captions!r} and tuner.DreamBooth.labels = {self.labels!r}. "
                "Set one of the two: what the model reads."
            )

    def tune(self, composition: Composition) -> Tuned:
        if self.prior_weight == 0:
            return self.tuner.tune(composition)
        self._check(composition)
        wanted = self._wanted(composition.data.spec)
        before = composition.conditioner.prepare(wanted)
        tuned = self.tuner.tune(composition)
        cond = composition.conditioner.prepare(wanted)
        self._check_word(said=not torch.equal(before, cond))
        prior = Prior(wanted, cond).to(composition.device)

        def extend(method: Regression) -> Regression:
            method = tuned.extend(method)
            return method.adding(PriorPreservation(method, prior, composition, self.prior_weight))

        def prepare(method: Method) -> None:
            tuned.prepare(method)
            prior.keep(self._drawn(method.roles["model"], composition, wanted))

        return replace(tuned, extend=extend, prepare=prepare)

    def _drawn(self, model: nn.Module, composition: Composition, wanted: Samples) -> Tensor:
        """What the model draws of the class before it learns: what its tuner added says nothing yet."""
        numbers, solver = range(FIRST, FIRST + self.num_prior), composition.solver
        return sample(composition, model, numbers, solver=solver, guidance=composition.guidance, wanted=wanted).images

    def _wanted(self, spec: DataSpec) -> Samples:
        """What is to be asked for; the images themselves are still to be made."""
        turns = range(self.num_prior)
        return Samples(
            images=torch.zeros(()).expand(self.num_prior, spec.channels, spec.height, spec.width),
            labels=torch.tensor([self.labels[n % len(self.labels)] for n in turns]) if self.labels else None,
            captions=tuple(self.captions[n % len(self.captions)] for n in turns) if self.captions else None,
        )

    def _check(self, composition: Composition) -> None:
        spec, num_classes = composition.conditioner.spec, composition.data.spec.num_classes or 0
        if spec.image_channels is not None:
            raise ValueError(
                "tuner.DreamBooth asks for prior images by captions or labels alone, but this stage's conditioner shows an "
                f"image beside them. Set train.tuner = @{type(self.tuner).__name__}(), or tuner.DreamBooth.prior_weight = 0."
            )
        if self.captions is not None and spec.text_width is None:
            raise ValueError(
                "tuner.DreamBooth.captions is set, but this stage's conditioner reads no captions. "
                "Set tuner.DreamBooth.labels instead."
            )
        if self.labels is not None and spec.num_classes is None:
            raise ValueError(
                "tuner.DreamBooth.labels is set, but this stage's conditioner reads no labels. "
                "Set tuner.DreamBooth.captions instead."
            )
        if self.labels is not None and max(self.labels) >= num_classes:
            raise ValueError(
                f"tuner.DreamBooth.labels has {max(self.labels)}, but the data has {num_classes} classes, counted from 0."
            )

    def _check_word(self, *, said: bool) -> None:
        """Where nothing but a word learns, the prior is to depend on it."""
        if isinstance(self.tuner, TextualInversion) and not said:
            word = self.tuner.placeholder
            raise ValueError(
                f"No caption of tuner.DreamBooth.captions says {word!r}, and tuner.TextualInversion learns nothing but that "
                f"word, so that prior images would teach it nothing. Write {word!r} into them, or set train.tuner = "
                "@TextualInversion()."
            )


class Prior(nn.Module):
    """Images, and the conditions that they were asked for: buffers, so that a checkpoint holds them."""

    pixels: Int[Tensor, " num channels height width"]
    cond: Int[Tensor, " num *rest"]

    def __init__(self, wanted: Samples, cond: Int[Tensor, " num *rest"]) -> None:
        super().__init__()
        self.register_buffer("pixels", torch.zeros(wanted.images.shape, dtype=torch.uint8))
        self.register_buffer("cond", cond)

    def keep(self, images: Tensor) -> None:
        """Images in [-1, 1]."""
        self.pixels.copy_(((images + 1) * 127.5).round())

    def images(self, chosen: Int[Tensor, " batch"]) -> Tensor:
        return self.pixels[chosen] / 127.5 - 1


class PriorPreservation:
    """`genever.training.Term`: the base method's error on a batch of prior images, as large as the batch of the data.

    Args:
        base: the method to which it is added.
        composition: whose codec and conditioner read the prior.
        weight: the factor on it.
    """

    taps = ()
    learning = frozenset[str]()
    frozen = frozenset({"prior"})

    def __init__(self, base: Regression, prior: Prior, composition: Composition, weight: float) -> None:
        self.base = base
        self.roles = {"prior": prior}
        self.prior = prior
        self.codec = composition.codec
        self.conditioner = composition.conditioner
        self.weight = weight

    def active(self, step: int) -> bool:
        return True

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        shown = self.base.forward(self.batch(forward.batch), forward.step)
        return {"prior": self.weight * self.base.errors(shown).mean()}

    def batch(self, beside: Batch) -> Batch:
        """Prior images with luck of their own, at the same places of the global batch as another batch's samples."""
        draws = replace(beside.draws, key=(*beside.draws.key, 1))
        chosen = draws.integers("prior", len(self.prior.pixels))
        images, cond = self.prior.images(chosen), self.prior.cond[chosen]
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            x_1 = self.codec.encode(images, draws.normal("posterior", self.codec.latent.shape))
        null, samples = self.conditioner.null(cond), Samples(images=images)
        return replace(beside, x_1=x_1, images=images, cond=cond, null=null, samples=samples, draws=draws)

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None: ...
