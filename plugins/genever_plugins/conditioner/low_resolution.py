"""The picture in low resolution as a condition: the upper stage of a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from genever.slots import Conditioner
from genever.training import Composition, Draws, normal_of_numbers, resized, sample
from genever.values import Condition, DataSpec, RunName, Samples
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.conditioner.float_bits import Row, form_of

__all__ = ["LowResolution", "noised"]

NOISE = "low-resolution noise"


@dataclass(frozen=True, kw_only=True)
class LowResolution:
    """Another conditioner's condition, and the image in low resolution with noise on it: a stage of super-resolution.

    In training a sample's low resolution is its own image, shrunk, then noised as far along the straight path as its level,
    z_s = (1 - s) z + s e with s ~ Uniform(0, max_level) and e standard normal (conditioning augmentation): the stage learns
    not to trust every pixel, which another model drew. The backbone is told s. Guidance and dropout take the other
    condition away, never the image.

    At evaluation the images that are shrunk are those of the validation split, or `base` draws them, from the same numbers,
    labels and captions: then metrics judge the cascade. A run that was trained without a base is judged with one by
    `genever evaluate RUN -b "LowResolution.base = '...'"`; `metric.Upsampled` says what plain interpolation would reach.

    Args:
        conditioner: what the images are asked for by, beside their low resolution.
        factor: sides of an image in sides of its low resolution, which are rounded: 1.5 turns 24 pixels into 16.
        max_level: the largest share of noise in training, in [0, 1]. 0 = disable.
        level: the share of noise at evaluation, at most `max_level`: what hides a base's own mistakes costs detail.
        base: the run that draws low resolutions at evaluation, its images of just that size. None = real ones.

    References:
        Ho et al., Cascaded diffusion models for high fidelity image generation, 2021, section 3.2. arXiv:2106.15282
        Saharia et al., Image super-resolution via iterative refinement (SR3), 2021. arXiv:2104.07636
        Saharia et al., Imagen, 2022, section 2.3 (the network is told the level). arXiv:2205.11487
    """

    provides: ClassVar[tuple[str, ...]] = ("conditioner.unconditional", "image")
    needs: ClassVar[tuple[str, ...]] = ("backbone.image", "backbone.numbers")
    defaults: ClassVar[dict[str, str]] = {"conditioner": "conditioner.Unconditional"}

    conditioner: Conditioner
    factor: Annotated[float, Gt(1)] = 2.0
    max_level: Annotated[float, Ge(0), Le(1)] = 1.0
    level: Annotated[float, Ge(0), Le(1)] = 0.0
    base: RunName | None = None

    def __post_init__(self) -> None:
        if self.level > self.max_level:
            raise ValueError(
                f"conditioner.LowResolution.level = {self.level} is above conditioner.LowResolution.max_level = "
                f"{self.max_level}, so no network has seen it. Lower the one or raise the other."
            )

    @property
    def dropout(self) -> float:
        """The other conditioner's."""
        return self.conditioner.dropout

    def build(self, data: DataSpec) -> nn.Module:
        return LowResolutionModule(self, self.conditioner.build(data), data)

    def size(self, data: DataSpec) -> tuple[int, int]:
        """(rows, columns) of the low resolution."""
        rows, columns = (round(side / self.factor) for side in (data.height, data.width))
        if not (0 < rows < data.height and 0 < columns < data.width):
            raise ValueError(
                f"conditioner.LowResolution.factor = {self.factor} makes {rows}x{columns} of {data.height}x{data.width} "
                "pixels. Choose one that leaves at least a pixel, and takes one."
            )
        return rows, columns


class LowResolutionModule(nn.Module):
    """`genever.slots.ImageConditionerModule` around another conditioner's module."""

    def __init__(self, part: LowResolution, conditioner: Any, data: DataSpec) -> None:
        super().__init__()
        if conditioner.spec.image_channels is not None:
            raise ValueError(
                "conditioner.LowResolution.conditioner shows an image already, and a backbone reads one. "
                "Name a conditioner of labels or captions."
            )
        self.part = part
        self.conditioner = conditioner
        self.size = part.size(data)
        self.row = Row(form_of(conditioner, data), (data.channels, *self.size))
        numbers = (*conditioner.spec.numbers, "image_level")
        self.spec = replace(conditioner.spec, image_channels=data.channels, numbers=numbers)

    def prepare(self, samples: Samples) -> Int[Tensor, " batch row"]:
        """The condition without noise; images of the low resolution are taken as they are."""
        image = resized(samples.images, self.size).clamp(-1, 1)
        other = self.conditioner.prepare(samples)
        assert torch.equal(other, other.int()), "The other conditioner's integers have more than 32 bits."
        return self.row.pack(other, image, torch.zeros(len(samples)))

    def null(self, cond: Int[Tensor, " batch row"]) -> Int[Tensor, " batch row"]:
        """The other condition left out; the image stays, with its noise."""
        other, image, level = self.row.unpack(cond)
        return self.row.pack(self.conditioner.null(other), image, level)

    def forward(self, cond: Int[Tensor, " batch row"]) -> Condition:
        other, image, level = self.row.unpack(cond)
        condition = self.conditioner(other)
        return replace(condition, image=image, numbers={**(condition.numbers or {}), "image_level": level})

    def augment(self, cond: Int[Tensor, " batch row"], draws: Draws) -> Int[Tensor, " batch row"]:
        if not self.part.max_level:
            return cond
        level = self.part.max_level * draws.uniform("low-resolution level")
        return self._noised(cond, level, draws.normal(NOISE, self.row.image))

    def asked(self, samples: Samples, numbers: Sequence[int], composition: Composition) -> Int[Tensor, " batch row"]:
        cond = self.prepare(replace(samples, images=self.images(samples, numbers, composition)))
        if not self.part.level:
            return cond
        noise = normal_of_numbers(composition.seed, numbers, NOISE, self.row.image, torch.device("cpu"))
        return self._noised(cond, torch.full((len(cond),), self.part.level), noise)

    def images(
        self, samples: Samples, numbers: Sequence[int], composition: Composition
    ) -> Float[Tensor, " batch channels rows columns"]:
        if self.part.base is None:
            return resized(samples.images, self.size).clamp(-1, 1)
        # Metrics and grids ask for the same images again and again, which nothing in training changes.
        asked = repr((list(numbers), None if samples.labels is None else samples.labels.tolist(), samples.captions))
        return composition.once(self.part, asked, lambda: self._drawn(samples, numbers, composition))

    def _drawn(self, samples: Samples, numbers: Sequence[int], composition: Composition) -> Tensor:
        name = self.part.base
        assert name is not None
        base = composition.once(self.part, "base", lambda: composition.open(name))
        base.world = composition.world  # All processes are here, and share the drawing.
        return sample(base, base.model, numbers, solver=base.solver, guidance=base.guidance, wanted=samples).images

    def check(self, composition: Composition) -> None:
        if self.part.base is None:
            return
        drawn = composition.open(self.part.base, torch.device("meta")).data.spec
        if (drawn.channels, drawn.height, drawn.width) != self.row.image:
            raise ValueError(
                f"conditioner.LowResolution.base = {self.part.base!r} draws images of channels x height x width = "
                f"{(drawn.channels, drawn.height, drawn.width)!r}, but this stage reads {self.row.image!r}. "
                "Choose a factor that leads there, or another run."
            )

    def _noised(self, cond: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        other, image, _ = self.row.unpack(cond)
        return self.row.pack(other, noised(image, level, noise), level)


def noised(
    image: Float[Tensor, " batch channels rows columns"],
    level: Float[Tensor, " batch"],
    noise: Float[Tensor, " batch channels rows columns"],
) -> Float[Tensor, " batch channels rows columns"]:
    """The point of the straight path at t = 1 - level."""
    s = level.view(-1, 1, 1, 1)
    return (1 - s) * image + s * noise
