"""From a sweep to its variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
        varied: what tells it apart from the others of its stage and its parents.
        fixed: what it shares with them.
        parents: the numbers of the variants whose runs it names, by the key that names each.
    """

    number: int
    stage: str
    varied: Point
    fixed: Point
    parents: Mapping[str, int] = field(default_factory=dict)

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
            parents=self.parents,
        )


def expand(sweep: Sweep) -> tuple[Variant, ...]:
    """All variants, stage by stage; of a search none, since each depends on what those before it gave.

    Within a stage the variants are the product of its axes in the order of the file, the first varying slowest; in a later
    stage, for each choice of elements of the stages that it comes after. Of these, only such come together as agree on every
    stage from which both descend. So an element is one choice of a point in each stage of its lineage, itself included, and
    its parents are the elements that chose as it did.
    """
    points = {stage.name: list(_points(stage)) for stage in sweep.stages}
    lineages = {stage.name: sweep.lineage(stage.name) for stage in sweep.stages}
    variants: list[Variant] = []
    numbers: dict[tuple[str, tuple[int, ...]], int] = {}
    for stage in sweep.stages:
        for chosen in product(*(range(len(points[name])) for name in lineages[stage.name])):
            chose = dict(zip(lineages[stage.name], chosen, strict=True))
            parents = {
                link.key: numbers[link.stage, tuple(chose[name] for name in lineages[link.stage])] for link in stage.after
            }
            varied, number = points[stage.name][chosen[-1]], len(variants)
            variants.append(Variant(number=number, stage=stage.name, varied=varied, fixed=stage.fixed, parents=parents))
            numbers[stage.name, chosen] = number
    return tuple(variants)


def _points(stage: Stage) -> Iterator[Point]:
    if stage.search:
        return iter(())
    return (tuple(chain.from_iterable(points)) for points in product(*stage.axes))
