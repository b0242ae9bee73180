"""How sharp samples are, beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Dataset, Measures
from genever.training import Evaluation, sampling
from jaxtyping import Float
from torch import Tensor

__all__ = ["Sharpness", "laplacian_energy"]


@dataclass(frozen=True, kw_only=True)
class Sharpness:
    """The energy of fine detail in generated images as a share of that in real ones ("sharpness"): 1 = as sharp as the data.

    It is E |Δx|² of the one over that of the other, where Δ is the difference of each inner pixel from its four neighbours.
    Below 1, samples are blurred, as the mean of several images is; above 1, they are noisy. Images have at least three
    pixels on each side.

    Args:
        num_real: at most so many real images of each split, the first ones.

    References:
        Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy: a comparative study, 2000.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[Measures] = {"sharpness": None}

    num_real: Annotated[int, Ge(1)] = 1000

    def measure(self, evaluation: Evaluation) -> dict[str, float]:
        composition = evaluation.composition
        real = torch.cat([self._first(one) for one in (composition.data, composition.validation)])
        made = evaluation.generated().images
        return {"sharpness": (laplacian_energy(made).mean() / laplacian_energy(real).mean()).item()}

    def protocol(self, evaluation: Evaluation) -> str:
        return f"{sampling(evaluation)}, against at most {self.num_real:,} real images of each split"

    def _first(self, dataset: Dataset) -> Tensor:
        return dataset.fetch(range(min(self.num_real, len(dataset)))).images


def laplacian_energy(images: Float[Tensor, " num channels height width"]) -> Float[Tensor, " num"]:
    """The mean of |Δx|² over inner pixels and channels."""
    x = images.double()
    if min(x.shape[2:]) < 3:
        raise ValueError(
            f"metric.Sharpness was given images of {x.shape[2]} x {x.shape[3]} pixels, none of which has four neighbours. "
            "Leave it out of train.metrics, or take images of 3 x 3 pixels or more."
        )
    vertical, horizontal = x[..., :-2, 1:-1] + x[..., 2:, 1:-1], x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    return (vertical + horizontal - 4 * x[..., 1:-1, 1:-1]).square().flatten(1).mean(1)
