"""From a gin file and `-b` bindings to a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from genever.errors import Problem
from genever.language._composition import compose
from genever.language._config import START, Binding, Config, Key, NamedRun
from genever.language._layers import Layers
from genever.language._macros import Expansion
from genever.language._parts import ROOT, Parts, parts_of
from genever.language._start import FROZEN, experiment_name, find_named, known_names
from genever.parts import Catalog

__all__ = ["Experiment", "read"]


def read(path: Path | str, bindings: Sequence[str] = (), *, catalog: Catalog, runs_root: Path | str = "runs") -> Config:
    """Reads an experiment. A user's mistakes are collected in `Config.problems`, never raised.

    Args:
        bindings: what `-b` says; it wins over the file.
        runs_root: where the runs are that values may name.
    """
    return Experiment.open(path, catalog=catalog, runs_root=runs_root).with_bindings(bindings)


class Experiment:
    """A gin file that is read once and looked at under many bindings, as a sweep does.

    Whatever it reads, it reads once: a file that changes, or a run that finishes, afterwards is not seen.
    """

    def __init__(self, path: Path, reader: _Reader) -> None:
        self.path = path
        self._reader = reader

    @classmethod
    def open(cls, path: Path | str, *, catalog: Catalog, runs_root: Path | str = "runs") -> Experiment:
        """Arguments as `read` takes them. A file that cannot be read is a problem of every config."""
        reader = _Reader(parts_of(catalog), Path(runs_root))
        reader.layers(Path(path))
        return cls(Path(path), reader)

    def with_bindings(self, bindings: Sequence[str], *, planned: Mapping[str, Config] | None = None) -> Config:
        """The experiment under what `-b` says; the n-th binding's problems stand at the file '-b', line n.

        Args:
            planned: runs that are not there yet, '<experiment>/<id>', and what composes them: they may be named as if they
                were. None = all are looked up.
        """
        return self._reader.read(self.path, tuple(bindings), (), planned or {})


class _Reader:
    """Reads gin files, and what they start from, each once."""

    def __init__(self, parts: Parts, runs_root: Path) -> None:
        self.parts, self.runs_root = parts, runs_root
        self.layers = cache(self._layers)
        self._name = cache(experiment_name)
        self._named = cache(self._find_named)
        self._config = cache(self._start_config)
        self._taken = cache(self._take)

    def _layers(self, path: Path) -> Layers:
        layers = Layers(self.parts)
        layers.add_file(path)
        return layers

    def read(self, path: Path, bindings: Sequence[str], chain: tuple[str, ...], planned: Mapping[str, Config]) -> Config:
        """Reads a file.

        Args:
            chain: the experiments whose start led here.
            planned: as `Experiment.with_bindings` takes them.
        """
        layers = self.layers(path).copy()
        layers.add_bindings(bindings)
        expansion = Expansion(layers.macros)
        config = Config(
            path=path,
            name=self._name(path),
            bindings={key: expansion.expanded(binding) for key, binding in layers.bindings.items()},
            macros=layers.macros,
            problems=(*layers.problems, *expansion.problems),
            complete=layers.complete,
            readable=layers.readable,
        )
        return self._with_reads(self._with_start(config, chain, planned), planned)

    def _with_start(self, config: Config, chain: tuple[str, ...], planned: Mapping[str, Config]) -> Config:
        binding = config.bindings.get(START)
        if binding is None or not isinstance(binding.value, str) or config.path.name == FROZEN:
            return config
        if binding.value in planned:
            return self._inheriting(config, self._planned(binding.value), binding, planned[binding.value])
        start = self._named(binding.value, config.path)
        chain = (*chain, config.name)
        if start is None:
            return self._complain_of_name(config, binding)
        if start.experiment and experiment_name(start.experiment) in chain:
            cycle = " -> ".join([*chain, experiment_name(start.experiment)])
            return _complain(
                config, binding, f"Experiments start from each other in a circle: {cycle}. One must start from scratch."
            )
        return self._inheriting(config, start, binding, self._config(start, chain))

    def _planned(self, name: str) -> NamedRun:
        return NamedRun(name, run=self.runs_root / name, pinned=name)

    def _with_reads(self, config: Config, planned: Mapping[str, Config]) -> Config:
        """The config, with what the other names of runs mean."""
        if config.path.name == FROZEN:
            return config
        reads = dict[Key, NamedRun]()
        for key, binding in config.bindings.items():
            written = binding.value
            if key == START or not isinstance(written, str) or not self.parts.takes_run(key.part, key.parameter):
                continue
            if found := self._planned(written) if written in planned else self._named(written, config.path):
                reads[key] = found
            else:
                config = self._complain_of_name(config, binding)
        return replace(config, reads=reads)

    def _complain_of_name(self, config: Config, binding: Binding) -> Config:
        known = known_names(str(binding.value), experiment=config.path, runs_root=self.runs_root)
        said = f"{binding.key} = {binding.source} is neither a finished run nor an experiment.{known}"
        return _complain(config, binding, said)

    def _find_named(self, written: str, experiment: Path) -> NamedRun | None:
        return find_named(written, experiment=experiment, runs_root=self.runs_root)

    def _start_config(self, start: NamedRun, chain: tuple[str, ...]) -> Config:
        if start.experiment:
            return self.read(start.experiment, (), chain, {})
        assert start.run is not None
        layers = self.layers(start.run / FROZEN)
        starts = self._starts_of(start.run)
        return Config(
            start.run / FROZEN, start.written, layers.bindings, layers.macros, tuple(layers.problems), starts=starts
        )

    def _starts_of(self, run: Path) -> tuple[Mapping[Key, Binding], ...]:
        """All that the runs compose that a run goes back to, the nearest first, as far as they are still there."""
        found = {run: self.layers(run / FROZEN).bindings}
        while (binding := found[run].get(START)) and isinstance(binding.value, str):
            named = self._named(binding.value, run / FROZEN)
            if named is None or named.run is None or named.run in found:
                break
            run = named.run
            found[run] = self.layers(run / FROZEN).bindings
        return tuple(found.values())[1:]

    def _inheriting(self, config: Config, found: NamedRun, binding: Binding, start: Config) -> Config:
        """The config, with the start's bindings under its own: those that its unset slots need."""
        errors = [problem for problem in start.problems if problem.level == "error"]
        if errors:
            first = f"{errors[0].file}:{errors[0].line}: {errors[0].message}"
            return _complain(config, binding, f"train.start = {binding.source} has errors of its own, such as {first}")
        stage = self.parts.readable(ROOT)
        wanted = (name for name in (stage.inherited if stage else ()) if Key("", ROOT, name) not in config.bindings)
        bindings = dict(self._taken(start, frozenset(wanted)))
        for key, own in config.bindings.items():
            under = bindings.pop(key, None)
            bindings[key] = replace(own, replaced=(under, *own.replaced)) if under else own
        return replace(config, bindings=bindings, start=found, starts=(start.bindings, *start.starts))

    def _take(self, start: Config, wanted: frozenset[str]) -> dict[Key, Binding]:
        """The bindings of a start that some slots of `train` need."""
        taken = compose(start.bindings, self.parts, leave_out=lambda part, name: part == ROOT and name not in wanted).used
        return {key: replace(binding, origin="start") for key, binding in taken.items() if binding.origin != "default"}


def _complain(config: Config, binding: Binding, message: str) -> Config:
    return replace(config, problems=(*config.problems, Problem.at(binding.place, message)), complete=False)
