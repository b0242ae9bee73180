"""What a run has learned to prefer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import RewardModel
from genever.training import Composition, Scorer
from genever.values import RunName

__all__ = ["Learned"]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """The score that a trained reward model gives to an image under the label or caption that it was asked for.

    It is known up to a constant, and its scale follows from how sure the model is. The image is encoded by that run's
    codec and its condition read by that run's conditioner, whatever this stage's are. It is as good as its run's
    metric.PairAccuracy, on images like those that it learned from: a model that follows it for long leaves those.

    Args:
        run: of aligner.BradleyTerry or aligner.PlackettLuce: the newest finished run of that name, one run, or a path.

    References:
        Xu et al., ImageReward: Learning and evaluating human preferences for text-to-image generation, 2023.
            arXiv:2304.05977
    """

    provides: ClassVar[tuple[str, ...]] = ("differentiable",)
    needs: ClassVar[tuple[str, ...]] = ()

    run: RunName

    def build(self, composition: Composition) -> RewardModel:
        opened = composition.open(self.run)
        if Scorer.head not in opened.model.heads:
            raise ValueError(
                f"reward.Learned.run = {self.run!r} is no reward model: it was trained without a head that scores. "
                "Name a run of aligner.BradleyTerry or aligner.PlackettLuce."
            )
        self._check_images(opened, composition)
        return Scorer(model=opened.model, composition=opened)

    def _check_images(self, opened: Composition, composition: Composition) -> None:
        """Raises ValueError where that run has learned from other images, or is told more of them."""
        known, given = opened.data.spec, composition.data.spec
        sizes = [(spec.channels, spec.height, spec.width) for spec in (known, given)]
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"reward.Learned.run = {self.run!r} scores images of channels x height x width = {sizes[0]!r}, but this "
                f"stage's are {sizes[1]!r}. Train a reward model on such images, or name another."
            )
        reads = opened.conditioner.spec
        for what, read, there in (
            ("labels", bool(reads.num_classes), given.num_classes is not None),
            ("captions", bool(reads.text_width), given.captions),
        ):
            if read and not there:
                raise ValueError(
                    f"reward.Learned.run = {self.run!r} reads {what}, but this stage's data has none. "
                    "Name data that has, or another run."
                )
