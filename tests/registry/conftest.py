"""A stage that is as small as a real one can be."""

import pytest

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
