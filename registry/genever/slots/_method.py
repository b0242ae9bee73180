"""What turns a flow into something else: aligners, tuners, distillers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from genever.slots._network import Network
    from genever.training import Composition, Method, Regression, Round, Tuned
    from genever.values import DataSpec

__all__ = ["Aligner", "Distiller", "Head", "HeadedAligner", "Tuner"]


@runtime_checkable
class Aligner(Protocol):
    """Maps a Method to a Method: adds a term on features, or rebuilds the step around a reward or a preference.

    It provides "scorer" where its model has a head that scores images, "noisy_classifier" where it has one that tells the
    classes of noisy images apart.
    """

    def align(self, method: Regression, composition: Composition) -> Method: ...


@runtime_checkable
class Head(Protocol):
    """A small network, an `nn.Module`, that reads one block's features: a part of the model, averaged and saved with it.

    Attributes:
        tap: the block, counted from 1.
    """

    tap: int

    def __call__(self, features: Float[Tensor, " batch tokens width"]) -> Tensor: ...


@runtime_checkable
class HeadedAligner(Aligner, Protocol):
    """An aligner that gives the model heads. It is the stage's own; within another aligner it gives none."""

    def heads(self, network: Network, data: DataSpec) -> Mapping[str, nn.Module]:
        """Each a `Head`, by the name under which the model is asked for what it makes of its block.

        Args:
            network: whose features they read.
            data: what the stage's data holds.
        """
        ...


@runtime_checkable
class Tuner(Protocol):
    """Decides which weights learn, and what is worth keeping of them elsewhere."""

    def tune(self, composition: Composition) -> Tuned:
        """Prepares `composition.model` in place (adds adapters, say)."""
        ...


@runtime_checkable
class Distiller(Protocol):
    """Maps the base method and a frozen teacher (`composition.teacher`) to a student's rounds."""

    def distil(self, method: Regression, composition: Composition) -> Sequence[Round]: ...
