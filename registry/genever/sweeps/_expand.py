"""From a sweep to its variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, product

from genever.sweeps._manifest import Element
from genever.sweeps._sweep import Point, Stage, Sweep

__all__ = ["Variant", "expand"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One composition that a sweep asks for.

    Args:
        number: counted from 0 over all stages.
        stage: its name.
        varied: what tells it apart from the others of its stage and its start.
        fixed: what it shares with them.
        start: the number of the variant that it starts from. None = as the experiment says.
    """

    number: int
    stage: str
    varied: Point
    fixed: Point
    start: int | None = None

    @property
    def settings(self) -> Point:
        return (*self.fixed, *self.varied)

    @property
    def bindings(self) -> tuple[str, ...]:
        """As `-b` takes them."""
        return tuple(map(str, self.settings))

    @property
    def element(self) -> Element:
        """Its line in the manifest, before it has a run."""
        return Element(
            number=self.number,
            stage=self.stage,
            varied={setting.key: setting.text for setting in self.varied},
            bindings=self.bindings,
            start=self.start,
        )


def expand(sweep: Sweep) -> tuple[Variant, ...]:
    """All variants, stage by stage; of a search none, since each depends on what those before it gave.

    Within a stage the variants are the product of its axes in the order of the file, the first varying slowest; in a later
    stage, for each element of the stage that it comes after.
    """
    variants: list[Variant] = []
    for stage in sweep.stages:
        starts = [one.number for one in variants if one.stage == stage.after] if stage.after is not None else [None]
        for start, varied in product(starts, _points(stage)):
            variants.append(Variant(number=len(variants), stage=stage.name, varied=varied, fixed=stage.fixed, start=start))
    return tuple(variants)


def _points(stage: Stage) -> Iterator[Point]:
    if stage.search:
        return iter(())
    return (tuple(chain.from_iterable(points)) for points in product(*stage.axes))
