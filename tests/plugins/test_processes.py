"""Every aligner, distiller and tuner trains in two processes as it does in one."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from genever.runs import RunDirectory
from genever.training import World
from safetensors.torch import load_file
from torch import Tensor

SCRIPT = Path(__file__).with_name("ranks.py")
RANKS: dict[str, Any] = runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What one process left of each method, and what two did: they are started once for all."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    for folder in (one, two):
        for name in RANKS["METHODS"]:
            RunDirectory.create(folder, "toy", "0" * 8, {}).path.rename(folder / name)
    ranks = [subprocess.Popen([sys.executable, SCRIPT, str(rank), "2", two], stderr=subprocess.PIPE) for rank in range(2)]
    try:
        RANKS["train_all"](one, World())
        said = [rank.communicate(timeout=300)[1].decode() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)[-4000:]
    return one, two


@pytest.mark.parametrize("name", RANKS["METHODS"])
def test_two_processes_train_as_one_does(name: str, folders: tuple[Path, Path]) -> None:
    one, two = (RunDirectory(folder / name) for folder in folders)
    assert one.saved_steps() == two.saved_steps() != []
    ours, theirs = (learned(run) for run in (two, one))
    assert ours.keys() == theirs.keys()
    apart = torch.cat([(ours[key] - theirs[key]).flatten() for key in theirs])
    assert apart.norm() < 1e-4 * torch.cat([one.flatten() for one in theirs.values()]).norm()
    assert terms(one)
    assert terms(two) == pytest.approx(terms(one), rel=1e-3, abs=1e-5)


def learned(run: RunDirectory) -> dict[str, Tensor]:
    """The weights of every role that the last round changed, and no others: few may move beside many that stay."""
    folder = run.checkpoint(run.saved_steps()[-1])
    tensors = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer/")}


#: What is logged that is no mean over samples: of it the mean over processes tells something else.
NO_MEANS = ("grad_norm", "ratio_error", "score_std")


def terms(run: RunDirectory) -> dict[str, float]:
    """Every term of every step that was logged, of every group."""
    steps = [line for line in run.read_metrics() if "model/lr" in line]
    return {
        f"{key} of step {line['step']}": line[key]
        for line in steps
        for key in line
        if "/" in key and not key.endswith(NO_MEANS)
    }
