"""How well images and their captions agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Data, Measures, Reward
from genever.training import Evaluation, named, sampling

from genever_plugins.metric.reward import rewards

__all__ = ["CLIPScore"]


@dataclass(frozen=True, kw_only=True)
class CLIPScore:
    """The mean "clip_score" of 100 max(cos, 0) between the embeddings of an image and of its caption, in [0, 100].

    Args:
        reward: the cosine, such as reward.CLIPSimilarity, which names the model. Compare only numbers of the same one.
        data: whose captions are asked for. None = the stage's.
        prefix: of the name, where a stage measures this twice.

    References:
        Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning, 2021, section 3, with 100 in place
            of 2.5 and no words before the caption. arXiv:2104.08718
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("data.captions", "reward.cosine")
    measures: ClassVar[Measures] = {"{prefix}clip_score": "higher"}

    reward: Reward
    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        cosines = rewards(self.reward, evaluation, evaluation.on(self.data).generated())
        return {f"{self.prefix}clip_score": 100 * cosines.clamp(min=0).mean().item()}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, with their captions through {named(self.reward)}"
