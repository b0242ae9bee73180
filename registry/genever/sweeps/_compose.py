"""From bindings to what they compose: every experiment of a sweep is read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from genever.errors import COMMAND_LINE
from genever.language import Config, Experiment, Place, Resolved, resolve
from genever.language._values import source
from genever.parts import Catalog

__all__ = ["Composer", "naming"]


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

    def config(self, file: Path, bindings: Sequence[str], *, planned: Mapping[str, Config] | None = None) -> Config:
        """Arguments as `Experiment.open` and `Experiment.with_bindings` take them."""
        experiment = self._open(file)
        config = experiment.with_bindings(bindings, planned=planned)
        found = {key: named for key, named in config.named_runs.items() if named.run and named.written != named.pinned}
        kept = {key: self.starts.setdefault(named.written, named.pinned) for key, named in found.items()}
        moved = {key: run for key, run in kept.items() if run != found[key].pinned and self._is_run(run)}
        if not moved:
            return config
        again = {config.bindings[key].place: naming(str(key), run) for key, run in moved.items()}
        kept_in_place = [again.pop(Place(COMMAND_LINE, line), binding) for line, binding in enumerate(bindings, 1)]
        return experiment.with_bindings([*kept_in_place, *again.values()], planned=planned)

    def freeze(self, file: Path, bindings: Sequence[str]) -> Resolved:
        """What a run of this freezes. Raises UserError with every mistake."""
        return resolve(self.config(file, bindings), self.catalog)

    def _is_run(self, name: str) -> bool:
        return any((folder / "resolved.gin").is_file() for folder in (Path(name), self.root / name))


def naming(key: str, run: str) -> str:
    """The binding that has a key name a run, '<experiment>/<id>'."""
    return f"{key} = {source(run)}"
