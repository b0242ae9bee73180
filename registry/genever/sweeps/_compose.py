"""From bindings to what they compose: every experiment of a sweep is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from genever.language import Config, Experiment, Resolved, resolve
from genever.language._values import source
from genever.parts import Catalog

__all__ = ["START", "Composer", "start_binding"]

START = "train.start"


class Composer:
    """Reads and freezes experiments under many bindings.

    Args:
        root: where the runs are that an experiment may name.
        starts: which run each name was found to mean, '<experiment>/<id>' by what the experiment says. It stays so: another
            run of that name that finishes later changes nothing.
    """

    def __init__(self, catalog: Catalog, root: Path, starts: Mapping[str, str] | None = None) -> None:
        self.catalog, self.root = catalog, root
        self.starts = dict(starts or {})
        self._open = cache(lambda file: Experiment.open(file, catalog=catalog, runs_root=root))

    def config(self, file: Path, bindings: Sequence[str], *, start: Config | None = None) -> Config:
        """Arguments as `Experiment.open` and `Experiment.with_bindings` take them."""
        experiment = self._open(file)
        config = experiment.with_bindings(bindings, start=start)
        found = {str(key): named for key, named in config.named_runs.items() if named.run}
        if start is not None:
            found.pop(START, None)
        kept = {key: self.starts.setdefault(named.written, named.pinned) for key, named in found.items()}
        moved = {key: run for key, run in kept.items() if run != found[key].pinned and self._is_run(run)}
        if not moved:
            return config
        others = [binding for binding in bindings if binding.partition("=")[0].strip() not in moved]
        return experiment.with_bindings([*others, *(f"{key} = {source(run)}" for key, run in moved.items())], start=start)

    def freeze(self, file: Path, bindings: Sequence[str]) -> Resolved:
        """What a run of this freezes. Raises UserError with every mistake."""
        return resolve(self.config(file, bindings), self.catalog)

    def _is_run(self, name: str) -> bool:
        return any((folder / "resolved.gin").is_file() for folder in (Path(name), self.root / name))


def start_binding(run: str) -> str:
    """What makes a stage start from a run, '<experiment>/<id>'."""
    return f"{START} = {source(run)}"
