"""How like one thing its images are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from genever.slots import Encoder, Measures
from genever.training import Composition, Evaluation, named, sampling
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.metric.judge import features, judge

__all__ = ["SubjectFidelity"]


@dataclass(frozen=True, kw_only=True)
class SubjectFidelity:
    """The mean cosine "subject_fidelity" between the features of a generated and a real image, over all such pairs.

    Samples are asked for by the captions or labels of the validation split, whose images are the real ones: where these are
    of one thing, it is how like that thing the samples are. "subject_fidelity_real" is the mean over pairs of different real
    images, which is what a perfect model comes to.

    Args:
        encoder: whose features of whole images are compared; self-supervised ones tell things of one class apart, those of a
            classifier less so.

    References:
        Ruiz et al., DreamBooth: Fine tuning text-to-image diffusion models for subject-driven generation, 2022, section 4.1.
            arXiv:2208.12242
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"subject_fidelity": "higher", "subject_fidelity_real": None}

    encoder: Encoder

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        composition = evaluation.composition
        real = composition.once(self, "real", lambda: self._directions(evaluation.real().images, composition))
        if len(real) < 2:
            raise ValueError(
                f"metric.SubjectFidelity compares with the validation split, which has {len(real)} image. "
                "Give it two or more."
            )
        made = self._directions(evaluation.generated().images, composition)
        # A sum over all pairs is a product of sums; a real image with itself is no pair.
        among = (real.sum(0).square().sum() - len(real)) / (len(real) * (len(real) - 1))
        return {"subject_fidelity": (made.mean(0) @ real.mean(0)).item(), "subject_fidelity_real": among.item()}

    def protocol(self, evaluation: Evaluation) -> str:
        num = min(evaluation.num_samples, len(evaluation.composition.validation))
        return f"{sampling(evaluation)}, against {num:,} held-out images, in features of {named(self.encoder)}"

    def _directions(self, images: Tensor, composition: Composition) -> Float[Tensor, " num width"]:
        return F.normalize(features(judge(self.encoder, composition), images, composition.device), dim=1)
