"""The Fréchet distance between generated and real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from genever.slots import Data, Encoder, Measures
from genever.training import Evaluation
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from genever_plugins.metric.judge import accuracy_of, compared, judge, made_features, real_features

__all__ = ["FrechetDistance", "Gaussian", "frechet_distance"]


@dataclass(frozen=True, kw_only=True)
class FrechetDistance:
    """The Fréchet distance "fd" of generated from real images, as Gaussians in the features of an encoder. Lower is better.

    fd = |μ_1 - μ_2|² + tr(Σ_1 + Σ_2 - 2 (Σ_1 Σ_2)^½), with unbiased covariances, in double precision.

    Protocol: `train.evaluate_samples` generated images, asked for by the labels or captions of the validation split,
    against all real images of both splits. The number depends on the encoder and is too large for few samples; compare
    only runs with the same encoder and the same number of samples. The encoder's own accuracy comes along, as
    "classifier_accuracy", where it has one.

    Args:
        encoder: whose features of whole images are compared.
        num_real: at most so many real images of each split, the first ones.
        data: whose labels or captions are asked for, and whose images are the real ones. None = the stage's. Name other data
            to learn what a model that was tuned on little has forgotten, or to compare with more than it has seen.
        prefix: of both names, where a stage measures this twice.

    References:
        Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, 2017, eq. (6).
            arXiv:1706.08500
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"{prefix}fd": "lower", "{prefix}classifier_accuracy": None}

    encoder: Encoder
    num_real: Annotated[int, Ge(2)] = 10000
    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        evaluation = evaluation.on(self.data)
        composition = evaluation.composition
        real = composition.once(self, "real", lambda: Gaussian.of(real_features(self.encoder, composition, self.num_real)))
        made = Gaussian.of(made_features(self.encoder, evaluation))
        accuracy = accuracy_of(judge(self.encoder, composition), self.prefix)
        return {f"{self.prefix}fd": frechet_distance(made, real), **accuracy}

    def protocol(self, evaluation: Evaluation) -> str:
        return compared(self.encoder, evaluation.on(self.data), self.num_real)


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of some features."""

    mean: NDArray[np.float64]
    cov: NDArray[np.float64]

    @classmethod
    def of(cls, samples: Float[Tensor, " num features"]) -> Gaussian:
        if len(samples) < 2:
            raise ValueError(
                f"metric.FrechetDistance was given {len(samples)} image, which has no covariance. "
                "Set train.evaluate_samples to 2 or more; a thousand make the number mean something."
            )
        values = samples.double().numpy()
        return cls(values.mean(0), np.atleast_2d(np.cov(values, rowvar=False)))


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The squared 2-Wasserstein distance of two Gaussians. NaN where either is not finite."""
    if not all(np.isfinite(values).all() for values in (one.mean, one.cov, other.mean, other.cov)):
        return float("nan")  # A matrix that is not finite has no eigenvalues.
    # (Σ_1 Σ_2)^½ has the eigenvalues of (Σ_1^½ Σ_2 Σ_1^½)^½, which is symmetric: no complex root, no iteration.
    root = _root(one.cov)
    product = np.linalg.eigvalsh(root @ other.cov @ root)
    cross = np.sqrt(product.clip(min=0)).sum()
    apart = ((one.mean - other.mean) ** 2).sum()
    return float(max(apart + np.trace(one.cov) + np.trace(other.cov) - 2 * cross, 0.0))  # eq. (6)


def _root(cov: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
