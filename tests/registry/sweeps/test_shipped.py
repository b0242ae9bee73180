"""Every sweep file that is shipped can be submitted as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from genever.parts import Catalog
from genever.sweeps import prepare, read_sweep

FILES = sorted((Path(__file__).parents[3] / "experiments/sweeps").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_sweep_has_no_mistakes(file: Path, catalog: Catalog, tmp_path: Path) -> None:
    prepared = prepare(read_sweep(file), root=tmp_path, catalog=catalog)
    assert not prepared.missing
    assert not prepared.warnings
    assert all(prepared.to_do(stage.name, {}) for stage in prepared.sweep.stages)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_shipped_sweep_says_what_it_is_and_how_to_run_it(file: Path) -> None:
    head = file.read_text().split("\n")[:2]
    assert head[0].startswith("# What:  ")
    assert head[1].startswith("# Run:   genever sweep experiments/sweeps/")


def test_there_are_sweeps() -> None:
    assert len(FILES) >= 4
