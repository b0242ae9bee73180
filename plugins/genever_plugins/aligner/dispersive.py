"""Features of different samples, kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.training import Composition, Forward, Regression, World
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.aligner.taps import tapped

__all__ = ["Dispersive"]


@dataclass(frozen=True, kw_only=True)
class Dispersive:
    """Drive apart the features that one block has of different samples: contrast without positive pairs, or an encoder.

    To the base loss is added

        weight · log mean over (i, j) of exp(-‖z_i - z_j‖² / (D tau)),

    where z_i are all D features that the block has of noisy sample i, and the pairs with i = j are counted: the term lies
    between weight · log(1 / samples) and 0. At weight 0, steps are bit-identical to those of the base method.

    Pairs are taken among the samples of a micro-batch in all processes together: one process and many train alike.
    (The authors take them within a process.) Every process then holds the block's features of the whole micro-batch;
    a larger train.accumulate makes that smaller, and with it the number of pairs.

    Args:
        tap: the block whose output is dispersed, counted from 1; at a quarter of the depth in the paper.
        weight: strength of the term, relative to the base loss.
        tau: temperature, of squared distances per dimension: from a few tau on, features count as apart.

    References:
        Wang and He, Diffuse and disperse: Image generation with representation regularization, 2025. arXiv:2506.09027
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ("backbone.taps",)

    tap: Annotated[int, Ge(1)]
    weight: Annotated[float, Ge(0)] = 0.5
    tau: Annotated[float, Gt(0)] = 0.5

    def align(self, method: Regression, composition: Composition) -> Regression:
        tapped(composition, "aligner.Dispersive.tap", self.tap)
        stage = composition.stage
        if stage.batch_size == stage.accumulate:
            raise ValueError(
                f"aligner.Dispersive needs pairs of samples, but train.batch_size = {stage.batch_size} in "
                f"train.accumulate = {stage.accumulate} parts leaves one in each. Accumulate less."
            )
        return method.adding(Dispersion(self, composition.world))


class Dispersion:
    """`genever.training.Term`: the weighted logarithm of how close samples are on the mean."""

    learning = frozenset[str]()
    frozen = frozenset[str]()

    def __init__(self, part: Dispersive, world: World) -> None:
        self.part, self.world = part, world
        self.taps = (part.tap,)
        self.roles: Mapping[str, nn.Module] = {}

    def active(self, step: int) -> bool:
        return self.part.weight > 0

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        (features,) = forward.features
        closeness = log_mean_closeness(self.of_all(features.flatten(1).float()), self.part.tau)
        # All processes find the same number, and the mean of their gradients is taken: each gives its samples' part.
        size = self.world.size
        return {"dispersion": self.part.weight * (size * closeness - (size - 1) * closeness.detach())}

    def of_all(self, own: Float[Tensor, " batch dims"]) -> Float[Tensor, " all dims"]:
        """The rows of every process; gradient flows into its own alone."""
        rows = self.world.gather(own.detach())
        rows[self.world.rank] = own
        return torch.cat(rows)

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None: ...


def log_mean_closeness(z: Float[Tensor, " samples dims"], tau: float) -> Float[Tensor, ""]:
    """log mean over all pairs, those of a sample with itself among them, of exp(-‖z_i - z_j‖² / (dims · tau))."""
    num, dims = z.shape
    closeness = torch.exp(-torch.pdist(z).square() / (dims * tau))
    return ((num + 2 * closeness.sum()) / num**2).log()
