"""A stage that is as small as a real one can be, and its run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from genever.runs import RunDirectory

SMALL = """\
train.data        = @Digits()
train.conditioner = @Classes()
train.backbone    = @DiT()
train.loss        = @FlowMatching()
train.sampler     = @Uniform()
train.batch_size  = 8
DiT.width = 16
DiT.depth = 1
DiT.heads = 2
"""


@pytest.fixture(scope="session")
def small() -> str:
    """An experiment without its number of steps: a test adds that, and whatever else it needs."""
    return SMALL


@pytest.fixture(scope="session")
def new_run(freeze: Callable[..., RunDirectory]) -> Callable[[str, Path], RunDirectory]:
    """As `freeze`, of an experiment's text."""

    def make(text: str, folder: Path) -> RunDirectory:
        file = folder / "small/one.gin"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        return freeze(file, folder)

    return make
