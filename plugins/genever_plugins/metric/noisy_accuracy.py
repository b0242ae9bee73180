"""How often a classifier of noisy images is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.slots import Measures
from genever.training import Composition, Evaluation, LabelReader
from jaxtyping import Float
from torch import Tensor

__all__ = ["NoisyAccuracy"]

#: Images that are classified together.
BATCH_SIZE = 250
#: Percent of the way from noise to data.
PLACES = (25, 50, 75, 100)


@dataclass(frozen=True, kw_only=True)
class NoisyAccuracy:
    """The share "accuracy_25" of held-out images whose label the trained classifier finds at 25 % of their way to data.

    "accuracy_50", "accuracy_75" and "accuracy_100" are those further on; at 100 % nothing is left of the noise. It judges a
    stage of aligner.NoisyClassifier, not what a model generates.

    References:
        Dhariwal and Nichol, Diffusion Models Beat GANs on Image Synthesis, 2021, section 4. arXiv:2105.05233
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("aligner.noisy_classifier", "data.labels")
    measures: ClassVar[Measures] = {
        "accuracy_25": "higher",
        "accuracy_50": "higher",
        "accuracy_75": "higher",
        "accuracy_100": "higher",
    }

    @torch.no_grad()
    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        samples, composition = evaluation.real(), evaluation.composition
        assert samples.labels is not None
        reader = LabelReader(model=evaluation.model, composition=composition)
        x_0, path = evaluation.noise(len(samples)), composition.loss.path
        found = dict[str, float]()
        for place in PLACES:
            t = path.start + place / 100 * (path.stop - path.start)
            parts = zip(samples.images.split(BATCH_SIZE), x_0.split(BATCH_SIZE), strict=True)
            guesses = torch.cat([reader(*_noised(composition, *part, t)).argmax(1).cpu() for part in parts])
            found[f"accuracy_{place}"] = (guesses == samples.labels).double().mean().item()
        return found

    def protocol(self, evaluation: Evaluation) -> str:
        num = min(evaluation.num_samples, len(evaluation.composition.validation))
        return f"{num:,} held-out images, noised on the path of training"


def _noised(composition: Composition, images: Tensor, x_0: Tensor, t: float) -> tuple[Tensor, Float[Tensor, " batch"]]:
    """Their latents on the way at t, and t for each."""
    images, x_0, path = images.to(composition.device), x_0.to(composition.device), composition.loss.path
    times = torch.full((len(images),), t, device=images.device)
    wide = times.view(-1, 1, 1, 1)
    return path.alpha(wide) * composition.codec.encode(images, torch.zeros_like(x_0)) + path.sigma(wide) * x_0, times
