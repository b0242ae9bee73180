"""From a sweep file to a sweep: everything that is wrong with it is said at once, with its line."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from genever.errors import Place, Problem, UserError, did_you_mean, listed, shown_path
from genever.sweeps._axes import MAX_RUNS, axes, point
from genever.sweeps._distributions import Normal
from genever.sweeps._document import Fields, Items, Node, Scalar, read_document
from genever.sweeps._drawn import over
from genever.sweeps._gin_text import values_by_key
from genever.sweeps._section import Mistakes, Section
from genever.sweeps._sweep import START, Link, Point, Search, Setting, Stage, Sweep

__all__ = ["read_sweep"]

#: What every stage may say, and what it may say in a file of one stage alone.
_RESOURCES = ("on", "limit", "runs_per_job", "resources")
_COMPOSED = ("experiment", "vary", "fixed")
_FILE = ("name", "on_failure")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def read_sweep(path: Path | str, *, folder: Path | None = None, name: str | None = None) -> Sweep:
    """Reads a sweep file.

    Args:
        folder: what its paths are relative to. None = the folder it lies in.
        name: None = as the file says, else the file's own name without its suffix.

    Raises:
        UserError: with every mistake of the file.
    """
    path = Path(path)
    mistakes = Mistakes()
    sweep = _Reader(path, folder or path.parent, mistakes).sweep(name)
    if mistakes.found or sweep is None:
        found = sorted(dict.fromkeys(mistakes.found), key=lambda problem: problem.line)
        num = f"{len(found)} mistake{'s' * (len(found) > 1)}"
        raise UserError("\n".join([f"{shown_path(path)} has {num}; nothing was submitted.", *map(str, found)]))
    return sweep


class _Reader:
    def __init__(self, path: Path, folder: Path, mistakes: Mistakes) -> None:
        self.path, self.folder, self.mistakes = path, folder, mistakes
        self.shown = shown_path(path)

    def sweep(self, name: str | None) -> Sweep | None:
        node = read_document(self.path, self.shown)
        if isinstance(node, Problem):
            self.mistakes.found.append(node)
            return None
        if not isinstance(node, Fields):
            self.mistakes.add(
                node.place, f"The file is {node}, and must be a mapping. Begin it with 'experiment: FILE.gin'."
            )
            return None
        is_lifecycle = any(key.text == "stages" for key, _ in node.fields)
        keys = (*_FILE, *_RESOURCES, "stages") if is_lifecycle else (*_FILE, *_COMPOSED, "search", *_RESOURCES)
        section = Section(node, "", keys, self.mistakes)
        stages = tuple(self._stages(section)) if is_lifecycle else (self._stage(section, "", (), section),)
        sweep = Sweep(
            path=Path(os.path.abspath(self.path)),
            name=name or self._name(section),
            text=self.path.read_text(encoding="utf-8-sig"),
            stages=stages,
            on_failure=section.one_of("on_failure", ("continue", "stop")) or "continue",
        )
        self._complain_of_packed_parents(stages)
        if not self.mistakes.found:
            self._check_size(sweep)
        return sweep

    def _name(self, section: Section) -> str:
        name = section.text("name") or self.path.stem
        if not _NAME.fullmatch(name):
            place = section.places.get("name", Place(self.shown, 1))
            self.mistakes.add(place, f"The sweep is called {name!r}. Write 'name:' with letters, digits, '.', '_' and '-'.")
        return name

    def _stages(self, section: Section) -> Iterator[Stage]:
        node = section.items("stages", "[{name: base, experiment: pretrain.gin}, {name: align, experiment: repa.gin}]")
        before: list[str] = []
        for item in node.items if node else ():
            if not isinstance(item, Fields):
                self.mistakes.add(
                    item.place, f"stages holds {item}. Write a mapping, such as {{name: base, experiment: a.gin}}."
                )
                continue
            stage = Section(item, "stages", ("name", "after", *_COMPOSED, *_RESOURCES), self.mistakes)
            name = stage.text("name") or ""
            if "name" not in stage.nodes:
                stage.missing("name", "Name each stage, such as name: base.")
            elif name in before:
                stage.wrong("name", "An earlier stage has that name. Give each its own.")
            elif name and not _NAME.fullmatch(name):
                stage.wrong("name", "Write it with letters, digits, '.', '_' and '-'.")
            yield self._stage(stage, name, self._after(stage, before), section)
            before.append(name)

    def _complain_of_packed_parents(self, stages: Sequence[Stage]) -> None:
        """Runs that share a job end together, and nothing could go on from one of them when another fails."""
        needed = {link.stage for stage in stages for link in stage.after}
        for stage in stages:
            if stage.runs_per_job > 1 and stage.name in needed:
                message = (
                    f"The stage {stage.name!r} packs {stage.runs_per_job} runs into a job, but others wait for each run."
                )
                self.mistakes.add(stage.place, f"{message} Give it runs_per_job: 1.")

    def _after(self, section: Section, before: list[str]) -> tuple[Link, ...]:
        """The runs of earlier stages that one names: as it says, else it starts from the one before it."""
        node = section.nodes.get("after")
        if node is None:
            return (Link(START, before[-1], section.place),) if before else ()
        if isinstance(node, Scalar) and node.value is None:
            return ()
        label = section.label("after")
        if isinstance(node, Scalar):
            links = [self._link(START, node, label, before, "null for none")]
        elif isinstance(node, Fields) and node.fields:
            values = values_by_key(node, label, self.mistakes)
            links = [self._link(key, value, f"{label}.{key}", before, "left out") for key, value in values.items()]
        else:
            section.wrong(
                "after", "It must be a stage, null, or a mapping such as {train.start: base, Learned.run: reward}."
            )
            links = []
        return tuple(filter(None, links))

    def _link(self, key: str, node: Node, label: str, before: list[str], otherwise: str) -> Link | None:
        if isinstance(node, Scalar) and node.value in before:
            return Link(key, str(node.value), node.place)
        above = listed(filter(None, dict.fromkeys(before)))
        hint = did_you_mean(node.text, before) if isinstance(node, Scalar) else ""
        message = f"{label} is {node}. It must be a stage above this one ({above}), or {otherwise}.{hint}"
        self.mistakes.add(node.place, message)
        return None

    def _stage(self, section: Section, name: str, after: tuple[Link, ...], file: Section) -> Stage:
        """One stage; what it does not say of its resources, the file says."""
        label = f"stages.{name}." if name else ""
        varies = section.fields("vary", "{grid: {AdamW.lr: [1e-3, 3e-3]}, seeds: 3}")
        fixed = section.fields("fixed", "{train.steps: 500}")
        search = section.fields("search", "{metric: fd, num: 30, over: {AdamW.lr: {log_uniform: [1e-4, 1e-2]}}}")
        if varies and search:
            section.mistakes.add(
                section.places["search"], "A file has 'vary' or 'search', not both. Take one out, or make two files."
            )
        whole, own = [(one.text("on"), one.integer("runs_per_job")) for one in (file, section)]
        stage = Stage(
            name=name,
            experiment=self._experiment(section),
            place=section.places.get("experiment", section.place),
            after=after,
            axes=axes(varies, f"{label}vary", self.mistakes) if varies else (),
            fixed=point(fixed, f"{label}fixed", self.mistakes) if fixed else (),
            search=self._search(search) if search else None,
            profile=own[0] or whole[0],
            overrides={**_overrides(file), **_overrides(section)},
            runs_per_job=own[1] or whole[1] or 1,
        )
        self._complain_of_keys(stage)
        return stage

    def _experiment(self, section: Section) -> Path:
        written = section.text("experiment")
        if "experiment" not in section.nodes:
            section.missing(
                "experiment", "Name the gin file to vary, relative to this file, such as experiment: ../digits/pretrain.gin."
            )
        if written is None:
            return self.path
        path = Path(os.path.normpath(self.folder / Path(written).expanduser()))
        if not path.is_file():
            hint = did_you_mean(path.name, sorted(file.name for file in path.parent.glob("*.gin")))
            section.wrong("experiment", f"There is no file {shown_path(path)}.{hint}")
        return path

    def _search(self, node: Fields) -> Search:
        section = Section(node, "search", ("metric", "num", "seed", "over"), self.mistakes)
        for key, what in (
            ("metric", "Say what is to get better, such as metric: fd."),
            ("num", "Say how many runs it may take."),
        ):
            if key not in section.nodes:
                section.missing(key, what)
        distributions, places = over(section)
        for key, one in distributions.items():
            if isinstance(one, Normal):
                self.mistakes.add(
                    places[key], f"search.over.{key} is normal, which a search does not know. Write uniform with two bounds."
                )
        num = section.integer("num") or 1
        if num > MAX_RUNS:
            section.wrong("num", f"A search has at most {MAX_RUNS:,} runs.")
        return Search(
            metric=section.text("metric") or "",
            place=section.places.get("metric", section.place),
            num=num,
            seed=section.integer("seed", least=0) or 0,
            over=distributions,
            places=places,
        )

    def _complain_of_keys(self, stage: Stage) -> None:
        """A key that is set in two blocks, or one that the stage sets itself."""
        blocks = [*stage.axes, (stage.fixed,)]
        firsts: list[Setting] = [_first(block, key) for block in blocks for key in dict.fromkeys(_keys(block))]
        firsts += [Setting(key, "", place) for key, place in (stage.search.places.items() if stage.search else ())]
        counts = Counter(setting.key for setting in firsts)
        for key in [key for key, count in counts.items() if count > 1]:
            one, other = [setting.place for setting in firsts if setting.key == key][:2]
            self.mistakes.add(other, f"{key} is set in line {one.line} already. Set each key in one block.")
        linked = {link.key: link.stage for link in stage.after}
        for setting in firsts:
            if setting.key in linked:
                message = (
                    f"{setting.key} is set by 'after', to a run of the stage {linked[setting.key]!r}. Leave it out, or "
                )
                self.mistakes.add(setting.place, f"{message}write another 'after' (null for none).")

    def _check_size(self, sweep: Sweep) -> None:
        num = sum(sweep.sizes.values())
        if num > MAX_RUNS:
            self.mistakes.add(
                Place(self.shown, 1), f"The sweep has {num:,} runs, and at most {MAX_RUNS:,} are allowed. Vary less."
            )


def _overrides(section: Section) -> dict[str, str]:
    """What is asked of the profile, as read_profile takes it, each with its place."""
    resources, limit = section.fields("resources", "{minutes: 20}"), section.integer("limit")
    found = dict(_dotted(resources, section.mistakes)) if resources else {}
    return found | ({f"limit={limit}": str(section.nodes["limit"].place)} if limit else {})


def _dotted(node: Fields, mistakes: Mistakes, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in node.fields:
        if isinstance(value, Fields):
            yield from _dotted(value, mistakes, f"{prefix}{key.text}.")
        else:
            yield f"{prefix}{key.text}={_yaml(value, mistakes)}", str(key.place)


def _yaml(node: Node, mistakes: Mistakes) -> str:
    """A value as YAML on one line."""
    if isinstance(node, Items):
        return f"[{', '.join(_yaml(item, mistakes) for item in node.items)}]"
    if isinstance(node, Fields):
        message = f"resources lists {node}, but a list holds texts and numbers. Put a text that has a ':' in quotes."
        mistakes.add(node.place, message)
        return "null"
    if isinstance(node.value, str):
        return json.dumps(node.value, ensure_ascii=False)  # As YAML reads it too, whatever the text holds.
    return "null" if node.value is None else node.text


def _keys(block: tuple[Point, ...]) -> Iterator[str]:
    return (setting.key for one in block for setting in one)


def _first(block: tuple[Point, ...], key: str) -> Setting:
    return next(setting for one in block for setting in one if setting.key == key)
