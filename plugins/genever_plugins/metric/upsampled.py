"""What plain interpolation reaches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from genever.slots import ImageConditionerModule, Measures, Metric
from genever.training import Evaluation, asked_for, protocol_of, resized
from genever.values import Samples

__all__ = ["Upsampled"]


@dataclass(frozen=True, kw_only=True)
class Upsampled:
    """Another metric, of the low resolutions that a stage is shown, interpolated: what super-resolution has to beat.

    They are the same images as the samples are asked for by: real ones, or those of the base. Interpolation is bicubic.
    The other metric is one that looks at the samples, such as FrechetDistance.

    Args:
        metric: what judges.
        prefix: of the names of its numbers. '' = they keep their names.

    References:
        Keys, Cubic convolution interpolation for digital image processing, 1981.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("conditioner.image",)
    measures: ClassVar[Measures] = {"{prefix}{metric.*}": None}

    metric: Metric
    prefix: str = "upsampled_"

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        found = self.metric.measure(evaluation.made_by(interpolated))
        return {f"{self.prefix}{name}": value for name, value in found.items()}

    def protocol(self, evaluation: Evaluation) -> str:
        return protocol_of(self.metric, evaluation.made_by(interpolated))


def interpolated(evaluation: Evaluation) -> Samples:
    """What `evaluation.generated()` would be of a model that interpolates."""
    composition, numbers = evaluation.composition, range(evaluation.num_samples)
    module, spec = composition.conditioner, composition.data.spec
    assert isinstance(module, ImageConditionerModule)
    wanted = asked_for(composition, numbers)
    small = module.images(wanted, numbers, composition)
    return replace(wanted, images=resized(small, (spec.height, spec.width)).clamp(-1, 1))
