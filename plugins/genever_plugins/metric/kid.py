"""The kernel distance between generated and real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Data, Encoder, Measures
from genever.training import Evaluation, derived_seed
from jaxtyping import Float
from torch import Tensor

from genever_plugins.metric.judge import compared, made_features, real_features

__all__ = ["KID", "squared_mmd"]


@dataclass(frozen=True, kw_only=True)
class KID:
    """The kernel distance "kid" of generated from real images in the features of an encoder. Lower is better.

    kid = E k(x, x') + E k(y, y') - 2 E k(x, y) over different images, with k(x, y) = (x · y / d + 1)^3 of features of d
    dimensions. It is 0 on average where both are of one distribution, however few the samples are, and so may be negative;
    the Fréchet distance is too large for few. It is a mean over random subsets of both, "kid_std" their standard deviation.

    Args:
        encoder: whose features of whole images are compared.
        num_subsets: subsets that are compared.
        subset_size: images of each kind in a subset; fewer where there are not as many.
        num_real: at most so many real images of each split, the first ones.
        data: whose labels or captions are asked for, and whose images are the real ones. None = the stage's.
        prefix: of both names, where a stage measures this twice.

    References:
        Bińkowski et al., Demystifying MMD GANs, 2018, section 4. arXiv:1801.01401
        Gretton et al., A Kernel Two-Sample Test, 2012, eq. (3).
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"{prefix}kid": "lower", "{prefix}kid_std": None}

    encoder: Encoder
    num_subsets: Annotated[int, Ge(1)] = 100
    subset_size: Annotated[int, Ge(2)] = 1000
    num_real: Annotated[int, Ge(2)] = 10000
    data: Data | None = None
    prefix: str = ""

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        evaluation = evaluation.on(self.data)
        real = real_features(self.encoder, evaluation.composition, self.num_real)
        found = self._of_subsets(made_features(self.encoder, evaluation), real)
        return {f"{self.prefix}kid": found.mean().item(), f"{self.prefix}kid_std": found.std(correction=0).item()}

    def protocol(self, evaluation: Evaluation) -> str:
        evaluation = evaluation.on(self.data)
        subsets = f"{self.num_subsets} subsets of {self.subset_size:,} or all"
        return f"{compared(self.encoder, evaluation, self.num_real)}, {subsets}"

    def _of_subsets(
        self, made: Float[Tensor, " made width"], real: Float[Tensor, " real width"]
    ) -> Float[Tensor, " subsets"]:
        size = min(self.subset_size, len(made), len(real))
        if size < 2:
            raise ValueError(
                f"metric.KID compares {len(made)} generated with {len(real)} real images, but takes two or more of each. "
                "Set train.evaluate_samples to 2 or more."
            )
        # Not the stage's luck: two stages are judged by the same subsets.
        luck = torch.Generator().manual_seed(derived_seed("kid subsets"))
        chosen = [[torch.randperm(len(z), generator=luck)[:size] for z in (made, real)] for _ in range(self.num_subsets)]
        return torch.stack([squared_mmd(made[rows], real[others]) for rows, others in chosen])


def squared_mmd(x: Float[Tensor, " num width"], y: Float[Tensor, " other width"]) -> Float[Tensor, ""]:
    """The unbiased estimate of MMD² under the kernel of KID; an image is not compared with itself."""
    return _among(x) + _among(y) - 2 * _kernel(x, y).mean()  # Gretton et al., eq. (3)


def _among(x: Float[Tensor, " num width"]) -> Float[Tensor, ""]:
    values = _kernel(x, x)
    return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))


def _kernel(x: Float[Tensor, " num width"], y: Float[Tensor, " other width"]) -> Float[Tensor, " num other"]:
    return (x @ y.T / x.shape[1] + 1) ** 3
