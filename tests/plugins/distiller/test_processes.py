"""Every distiller trains in two processes as it does in one."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.parts import load_catalog
from genever.runs import RunDirectory
from genever.training import World, load_model_state

SCRIPT = Path(__file__).with_name("ranks.py")
DISTILLERS = [name for name in load_catalog().names() if name.startswith("distiller.")]

Runs = tuple[RunDirectory, RunDirectory]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process left of each distiller, and what two did: they are started once for all."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    for folder in (one, two):
        for name in DISTILLERS:
            RunDirectory.create(folder, "toy", "0" * 8, {}).path.rename(folder / name)
    ranks = [subprocess.Popen([sys.executable, SCRIPT, str(rank), "2", two], stderr=subprocess.PIPE) for rank in range(2)]
    try:
        script: dict[str, Any] = runpy.run_path(str(SCRIPT))
        script["train_all"](one, World())
        said = [rank.communicate(timeout=300)[1].decode() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)[-4000:]
    return one, two


@pytest.mark.parametrize("name", DISTILLERS)
def test_two_processes_distil_as_one_does(name: str, folders: tuple[Path, Path]) -> None:
    one, two = (RunDirectory(folder / name) for folder in folders)
    assert one.saved_steps() == two.saved_steps() != []
    ours, theirs = (load_model_state(run, run.saved_steps()[-1], None) for run in (two, one))
    apart = torch.cat([(ours[key] - theirs[key]).flatten() for key in theirs])
    assert apart.norm() < 1e-4 * torch.cat([one.flatten() for one in theirs.values()]).norm()
    assert terms(two) == pytest.approx(terms(one), rel=1e-3, abs=1e-5)


def terms(run: RunDirectory) -> list[float]:
    """Every term of every step that was logged."""
    names = ("model/", "critic/", "discriminator/")
    return [line[key] for line in run.read_metrics() for key in sorted(line) if key.startswith(names) and "norm" not in key]
