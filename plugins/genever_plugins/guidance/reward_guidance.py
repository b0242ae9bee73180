"""Guidance by a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Le
from genever.slots import Guidance, Reward, RewardModel
from genever.training import Composition, Scorer
from genever.values import Samples
from jaxtyping import Float
from torch import Tensor

from genever_plugins.guidance._composed import Composed
from genever_plugins.guidance._labels import labels_of
from genever_plugins.guidance._slope import Point, Uphill

__all__ = ["RewardGuidance"]


@dataclass(frozen=True, kw_only=True)
class RewardGuidance(Composed):
    """Towards images of a higher reward, without training: score + scale · grad reward(x̂_1(x_t)).

    The reward judges the model's estimate of the data, decoded and not cut off at black and white; the gradient goes through
    the model, and a step costs about three times as much. With reward.CLIPSimilarity this is CLIP guidance. Where the data
    is Gaussian and the reward linear, the samples are those of p(x_1) exp(scale · reward(x_1)); elsewhere that is an
    approximation. The reward is told the label and the caption that were asked for, where there are any; where a model of
    captions is not told its own, it is empty.

    Args:
        reward: differentiable.
        scale: in 1 / units of the reward. 0 = disable.
        start: guide from this t on (0 = noise).
        stop: guide up to this t (1 = data).
        guidance: gives the output that is changed, such as guidance.CFG. None = the conditional one.

    References:
        Nichol et al., GLIDE: Towards Photorealistic Image Generation and Editing with Text-Guided Diffusion Models, 2022
            (CLIP guidance). arXiv:2112.10741
        Bansal et al., Universal Guidance for Diffusion Models, 2023 (at the estimate of the data). arXiv:2302.07121
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("reward.differentiable",)

    reward: Reward
    scale: Annotated[float, Ge(0)] = 1.0
    start: Annotated[float, Ge(0), Le(1)] = 0.0
    stop: Annotated[float, Ge(0), Le(1)] = 1.0
    guidance: Guidance | None = None

    def build(self, composition: Composition) -> Guidance:
        reward: RewardModel = composition.once(self, "reward", lambda: self.reward.build(composition))
        reads_captions = _reads_captions(self.reward, reward)
        if reads_captions and not composition.data.spec.captions:
            raise ValueError(
                "guidance.RewardGuidance.reward reads captions, but train.data has none. Name a reward of the image alone "
                "or of its label, or data with captions."
            )
        knows_labels = composition.conditioner.spec.num_classes is not None

        def height(point: Point) -> Float[Tensor, " batch"]:
            images = composition.codec.decode(point.estimate())
            labels = labels_of(composition, point.cond)[0] if knows_labels else None
            captions = None if point.samples is None else _captions(composition, point.cond, point.samples)
            if reads_captions and captions is None:
                raise ValueError(
                    "guidance.RewardGuidance.reward reads captions, but whoever guides here does not know what was asked "
                    "for. Leave the guidance out, or name a reward of the image alone or of its label."
                )
            return reward(images, Samples(images=images, labels=labels, captions=captions))

        inner = None if self.guidance is None else composition.build_guidance(self.guidance)
        return Uphill(part=self, loss=composition.loss, height=height, inner=inner)


def _reads_captions(part: Reward, reward: RewardModel) -> bool:
    """Whether it needs them, or has learned from them."""
    if isinstance(reward, Scorer):
        return reward.composition.conditioner.spec.text_width is not None
    return "data.captions" in getattr(part, "needs", ())


def _captions(composition: Composition, cond: Tensor, samples: Samples) -> tuple[str, ...] | None:
    """Those that were asked for; '' where the model is not told them."""
    if samples.captions is None or composition.conditioner.spec.text_width is None:
        return samples.captions
    left_out = (cond == composition.conditioner.null(cond)).flatten(1).all(1).tolist()
    return tuple("" if nothing else one for one, nothing in zip(samples.captions, left_out, strict=True))
