"""The pseudo-Huber distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

__all__ = ["Huber"]


@dataclass(frozen=True, kw_only=True)
class Huber:
    """The pseudo-Huber distance sqrt(e² + c²) - c of the root mean square error e over dimensions.

    Small errors count by e² / (2 c), large ones by e, so that single samples matter less. Because e is a mean, c does not
    grow with the number of dimensions: the paper's c = 0.00054 sqrt(dimensions), for a sum, is c = 0.00054 here, and its
    distance is sqrt(dimensions) times this one.

    Args:
        c: the error at which squares turn into absolute values, in units of what is predicted.

    References:
        Song and Dhariwal, Improved Techniques for Training Consistency Models, 2023, eq. (7) and section 3.3.
            arXiv:2310.14189
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    c: Annotated[float, Gt(0)] = 0.00054

    def __call__(self, prediction: Tensor, target: Tensor) -> Float[Tensor, " batch"]:
        square = (prediction - target).square().flatten(1).mean(1)
        # The difference of two near numbers, as a quotient that keeps its digits.
        return square / ((square + self.c**2).sqrt() + self.c)
