"""A sweep file, read: stages, each with what is fixed and the axes along which it varies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genever.language import Place
from genever.sweeps._distributions import Distribution

__all__ = ["START", "Axis", "Link", "Point", "Search", "Setting", "Stage", "Sweep"]

#: What a stage sets to a run of the stage that it comes after, unless it says otherwise.
START = "train.start"


@dataclass(frozen=True)
class Setting:
    """One value of one key.

    Args:
        text: the value as gin text.
        place: where the value stands in the sweep file.
    """

    key: str
    text: str
    place: Place

    def __str__(self) -> str:
        return f"{self.key} = {self.text}"


#: What is set together.
Point = tuple[Setting, ...]
#: The points from which each run takes one.
Axis = tuple[Point, ...]


@dataclass(frozen=True)
class Link:
    """A key that names a run of an earlier stage.

    Args:
        key: such as 'train.start' or 'Learned.run'.
        stage: the earlier one's name.
        place: where that stands in the sweep file.
    """

    key: str
    stage: str
    place: Place


@dataclass(frozen=True, kw_only=True)
class Search:
    """Runs that are proposed one by one, from what those before them gave.

    Args:
        metric: as a run's results name it, with or without the weights' name: 'fd' or 'average/fd'.
        num: of runs.
        over: what each key is drawn from.
        place: of the metric.
        places: of the keys.
    """

    metric: str
    place: Place
    num: int
    seed: int
    over: Mapping[str, Distribution]
    places: Mapping[str, Place]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Runs of one experiment.

    Args:
        name: '' in a sweep that has one stage.
        experiment: its gin file.
        place: where that is named.
        after: the runs of earlier stages that each of these names. () = none but those that the experiment names.
        axes: the runs are their product; the first varies slowest.
        profile: the cluster profile's name. None = as the command line says, else 'local'.
        overrides: 'minutes=20' and where it was said, over the profile.
        runs_per_job: runs that share one allocation.
    """

    name: str
    experiment: Path
    place: Place
    after: tuple[Link, ...] = ()
    axes: tuple[Axis, ...] = ()
    fixed: Point = ()
    search: Search | None = None
    profile: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    runs_per_job: int = 1

    @property
    def num_points(self) -> int:
        """Runs for each choice of what they come after; of a search, how many there will be."""
        return self.search.num if self.search else math.prod(map(len, self.axes))

    @property
    def keys(self) -> tuple[str, ...]:
        """What varies, in the order of the file."""
        if self.search:
            return tuple(self.search.over)
        return tuple(dict.fromkeys(setting.key for axis in self.axes for point in axis for setting in point))


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep or a lifecycle.

    Args:
        path: its file.
        text: the file's content.
        on_failure: 'continue', or 'stop' = once a run has failed no further one starts.
    """

    path: Path
    name: str
    text: str
    stages: tuple[Stage, ...]
    on_failure: str = "continue"

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def lineage(self, name: str) -> tuple[str, ...]:
        """The stages that one descends from, in order, itself last."""
        found = {name}
        for stage in reversed(self.stages):
            found |= {link.stage for link in stage.after if stage.name in found}
        return tuple(stage.name for stage in self.stages if stage.name in found)

    @property
    def search(self) -> Search | None:
        return self.stages[0].search

    @property
    def sizes(self) -> dict[str, int]:
        """Elements of each stage: one for each choice of a point in each stage that it descends from."""
        points = {stage.name: stage.num_points for stage in self.stages}
        return {name: math.prod(points[one] for one in self.lineage(name)) for name in points}
