"""A folder with small copies of shipped experiments, and sweep files written into it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
#: A digits experiment that trains in a second.
TINY = """\
include 'base.gin'
train.backbone = @DiT()
train.loss     = @FlowMatching()
train.sampler  = @LogitNormal()
train.steps    = 20
train.batch_size = 16
train.metrics  = []
train.precision = 'fp32'
train.sample_every = None
train.evaluate_samples = 16
train.log_every = 5
DiT.width = 16
DiT.depth = 1
DiT.heads = 2
DiT.patch = 4
"""
LATER = "train.start = 'digits/pretrain'\ntrain.steps = 20\ntrain.optimizer = @AdamW()\nAdamW.lr = 1e-4\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: experiments/digits/{base,pretrain,later}.gin and experiments/sweeps."""
    digits = tmp_path / "experiments/digits"
    digits.mkdir(parents=True)
    (tmp_path / "experiments/sweeps").mkdir()
    (digits / "base.gin").write_text((EXPERIMENTS / "digits/base.gin").read_text())
    (digits / "pretrain.gin").write_text(TINY)
    (digits / "later.gin").write_text(LATER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sweep_file(folder: Path) -> Callable[[str], Path]:
    """Writes a sweep file's text and gives its path."""

    def write(text: str, name: str = "a") -> Path:
        file = folder / "experiments/sweeps" / f"{name}.yaml"
        file.write_text(text)
        return file.relative_to(folder)

    return write
