"""Everything that happens before a sweep is submitted: all of it is composed and checked."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genever.errors import UserError, shown_path
from genever.language import Config, better_end
from genever.language._values import source
from genever.launch import Condition, Profile, read_profile
from genever.parts import Catalog
from genever.runs import write_whole
from genever.sweeps._compose import Composer
from genever.sweeps._expand import Variant, expand
from genever.sweeps._index import RunIndex
from genever.sweeps._manifest import FOLDER, Manifest, StageRecord, SweepDirectory
from genever.sweeps._plan import KEEP_BEST, Example, Plan, Planner
from genever.sweeps._search import Direction, probes
from genever.sweeps._submit import continues
from genever.sweeps._sweep import Setting, Stage, Sweep

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep without mistakes.

    Args:
        directory: where it is or will be kept.
        plans: of all variants; of a search those that it has proposed already.
        profiles: where and how each stage's runs are trained, by the stage's name.
        warnings: what a user should know all the same.
        examples: runs that are to be made, such that each value that varies is in one of them, but for seeds.
        planned: what composes the runs that others name and that are not there yet, by those names.
        probe: what the runs are like that a search has yet to propose. None = it is no search.
        metric: what a search is after, and towards which end, as the metric says. None = it is no search.
        missing: what has to be run before this can be submitted, in a sentence; '' = nothing.
    """

    sweep: Sweep
    directory: SweepDirectory
    composer: Composer
    plans: tuple[Plan, ...]
    profiles: Mapping[str, Profile]
    warnings: tuple[str, ...]
    examples: Sequence[Example]
    planned: Mapping[str, Config]
    probe: Plan | None
    metric: tuple[str, Direction] | None
    missing: str

    @property
    def manifest(self) -> Manifest:
        """What the sweep will remember. What an earlier version of the file asked for is dropped, and its runs are noted."""
        old = self.directory.manifest if self.directory.manifest_file.exists() else None
        elements = tuple(plan.element for plan in self.plans)
        ours = {element.run for element in elements}
        before = [*old.dropped, *(element.run for element in old.elements)] if old else []
        return Manifest(
            name=self.sweep.name,
            file=str(self.sweep.path),
            stages=tuple(self._record(stage) for stage in self.sweep.stages),
            elements=elements,
            on_failure=self.sweep.on_failure,
            metric=self.metric,
            starts=self.composer.starts,
            dropped=tuple(dict.fromkeys(run for run in before if run and run not in ours)),
            created=old.created if old else time.time(),
        )

    def write(self) -> SweepDirectory:
        """Writes the manifest and the file as it is. Returns the sweep as it is then."""
        sweep = self.directory.write(self.manifest)
        write_whole(sweep.file, self.sweep.text)
        return sweep

    def to_do(self, stage: str, conditions: Mapping[int, Condition]) -> list[Plan]:
        """What a submission would train of a stage, each run once; and what a search has yet to propose.

        Args:
            conditions: of the runs that there are, by the variant's number.
        """
        plans = [plan for plan in self.plans if plan.variant.stage == stage]
        first = {plan.identity or f"new {plan.variant.number}": plan for plan in reversed(plans)}
        to_come = self.sweep.search.num - len(plans) if self.sweep.search else 0
        left = [plan for plan in reversed(first.values()) if is_to_do(conditions.get(plan.variant.number))]
        return left + [self.probe] * max(to_come, 0) if self.probe else left

    def _record(self, stage: Stage) -> StageRecord:
        return StageRecord(
            name=stage.name,
            experiment=self.composer.config(stage.experiment, ()).name,
            file=str(stage.experiment.resolve()),
            keys=stage.keys,
            profile=self.profiles[stage.name].to_dict(),
            runs_per_job=stage.runs_per_job,
        )


def is_to_do(condition: Condition | None) -> bool:
    """Whether a submission would train a run in this condition; None = there is none yet."""
    return condition is None or (condition.kind != "finished" and not condition.is_live and continues(condition))


def prepare(
    sweep: Sweep, *, root: Path, catalog: Catalog, on: str | None = None, overrides: Mapping[str, str] | None = None
) -> Prepared:
    """Composes and checks a sweep; nothing is written.

    Args:
        on: a profile's name, in place of the file's.
        overrides: as `read_profile` takes them; they win over the file's.

    Raises:
        UserError: with every mistake of its variants or of a profile; or another file's sweep has that name.
    """
    root = root.absolute()
    directory = SweepDirectory(root / FOLDER / sweep.name)
    old = _old_manifest(directory, sweep)
    composer = Composer(catalog, root, old.starts if old else {})
    planner = Planner(sweep, composer, RunIndex(root))
    variants = _proposed(sweep, old) if sweep.search else expand(sweep)
    probing = _probing(sweep, len(variants))
    for variant in [*variants, *probing]:
        planner.add(variant)
    warnings = planner.conclude()
    return Prepared(
        sweep=sweep,
        directory=directory,
        composer=composer,
        plans=tuple(planner.plans[variant.number] for variant in variants),
        profiles=_profiles(sweep, on, overrides or {}),
        warnings=tuple(warnings),
        examples=planner.examples,
        planned=planner.planned,
        probe=planner.plans[len(variants)] if sweep.search else None,
        metric=_aim(sweep.search.metric, planner, probing[0]) if sweep.search else None,
        missing=next((plan.note for plan in planner.plans.values() if plan.note), ""),
    )


def _old_manifest(directory: SweepDirectory, sweep: Sweep) -> Manifest | None:
    """What an earlier submission of the same file left."""
    if not directory.manifest_file.exists():
        return None
    old = directory.manifest
    if old.file != str(sweep.path) and Path(old.file).exists():
        raise UserError(
            f"{shown_path(directory.path)} is the sweep of {shown_path(Path(old.file))}. "
            f"Give {shown_path(sweep.path)} a name of its own, such as name: other."
        )
    return old


def _proposed(sweep: Sweep, old: Manifest | None) -> list[Variant]:
    """What a search proposed before, unless it varies other keys by now."""
    (stage,), search = sweep.stages, sweep.search
    assert search
    same = [element.varied for element in old.elements if element.varied.keys() == search.over.keys()] if old else []
    points = [tuple(Setting(key, varied[key], search.places[key]) for key in search.over) for varied in same]
    return [Variant(number=n, stage=stage.name, varied=point, fixed=stage.fixed) for n, point in enumerate(points)]


def _probing(sweep: Sweep, first: int) -> list[Variant]:
    """Variants that no search proposes; what is wrong with them is wrong with the search, its metric too."""
    search, stage = sweep.search, sweep.stages[0]
    if search is None:
        return []
    fixed = (*stage.fixed, Setting(KEEP_BEST, source(search.metric), search.place))
    return [Variant(number=n, stage=stage.name, varied=point, fixed=fixed) for n, point in enumerate(probes(search), first)]


def _aim(metric: str, planner: Planner, probing: Variant) -> tuple[str, Direction]:
    composer, experiment = planner.composer, planner.sweep.stage(probing.stage).experiment
    config = composer.config(experiment, [str(setting) for setting in probing.settings])
    return metric, "maximize" if better_end(metric, config, composer.catalog) == "higher" else "minimize"


def _profiles(sweep: Sweep, on: str | None, overrides: Mapping[str, str]) -> dict[str, Profile]:
    """Where and how each stage's runs are trained; runs that wait for each other do so on one cluster."""
    found: dict[str, Profile] = {}
    for stage in sweep.stages:
        said = {**stage.overrides, **overrides}
        found[stage.name] = read_profile(on or stage.profile or "local", said, near=sweep.path)
        for link in stage.after:
            if found[stage.name].kind != found[link.stage].kind:
                raise UserError(
                    f"{link.place}: {stage.name!r} runs on {found[stage.name].kind}, but {link.stage!r}, which it waits "
                    f"for, on {found[link.stage].kind}. Name one cluster for both with 'on'."
                )
    return found
