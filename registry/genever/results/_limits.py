"""What a page carries at most, so that a browser can open it. What is left out is said on the page."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Numbers over all stages.

    Args:
        runs: in the table and in the parallel coordinates, the best.
        curves: runs that have curves.
        scalars: that have curves.
        points: of all curves together; but each has `fewest_points`, and none more than `most_points`.
        axes: of the parallel coordinates, beside the metric's.
        pictures: runs whose newest grid is shown, and `picture_bytes` for all of them.
        failures: reasons that are told.
        text: characters of a reason, and of the sweep file.
    """

    runs: int = 20_000
    curves: int = 400
    scalars: int = 32
    points: int = 300_000
    fewest_points: int = 40
    most_points: int = 400
    axes: int = 12
    pictures: int = 60
    picture_bytes: int = 12_000_000
    failures: int = 100
    text: int = 20_000
