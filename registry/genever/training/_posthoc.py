"""Averages of lengths that nobody tracked, put together afterwards from snapshots of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from genever.runs import RunDirectory
from genever.slots import ProfiledAverage
from genever.training._checkpoint import load_average

__all__ = ["Mixture", "Snapshot", "mix", "mixed_weights"]

#: Directions of the snapshots' span that are shorter than this, relative to the longest, are left out: beyond it a sum is
#: made of the rounding of large numbers.
_SHORTEST = 1e-10


@dataclass(frozen=True)
class Snapshot:
    """An average after some steps of its round."""

    average: ProfiledAverage
    num_steps: int

    def overlap(self, other: Snapshot) -> float:
        return self.average.overlap(self.num_steps, other.average, other.num_steps)


@dataclass(frozen=True)
class Mixture:
    """The sum of snapshots whose profile is nearest to a wanted one.

    Args:
        coefficients: of each snapshot; they sum to 1.
        misfit: the distance of the two profiles as a share of the wanted one's norm, both over training time. The weights of
            single steps are integrals of profiles, so those of the sum are no further from the wanted ones than this.
    """

    coefficients: tuple[float, ...]
    misfit: float


def mix(snapshots: Sequence[Snapshot], wanted: Snapshot) -> Mixture:
    """The least squares x of ‖Σ x_i p_i - p‖² over training time, then scaled so that Σ x_i = 1.

    With A_ij = ∫ p_i p_j and b_i = ∫ p_i p it solves A x = b, where profiles were scaled to norm 1 first.

    References:
        Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024, appendix C, algorithm 3.
            arXiv:2312.02696
    """
    overlaps = np.array([[one.overlap(other) for other in snapshots] for one in snapshots])
    with_wanted = np.array([one.overlap(wanted) for one in snapshots])
    norms = np.sqrt(overlaps.diagonal())
    solved, *_ = np.linalg.lstsq(overlaps / np.outer(norms, norms), with_wanted / norms, rcond=_SHORTEST)
    x = solved / norms
    x = x / x.sum()
    energy = wanted.overlap(wanted)
    squared = (energy - 2 * x @ with_wanted + x @ overlaps @ x) / energy
    return Mixture(coefficients=tuple(x.tolist()), misfit=float(np.sqrt(max(0.0, squared))))


def mixed_weights(run: RunDirectory, coefficients: Mapping[tuple[int, str], float]) -> dict[str, Tensor]:
    """The sum of a run's averages at its checkpoints, by name in the role "model"; snapshot after snapshot is read.

    Args:
        coefficients: by (the checkpoint's step, the average's name).
    """
    total: dict[str, Tensor] = {}
    for (step, average), coefficient in coefficients.items():
        for name, weights in load_average(run, step, average).items():
            part = coefficient * weights.double()
            total[name] = total[name] + part if name in total else part
    return {name: weights.float() for name, weights in total.items()}
