from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from genever.values import Samples


@pytest.fixture
def captioned() -> Callable[..., Samples]:
    def make(*captions: str) -> Samples:
        return Samples(images=torch.zeros(len(captions), 1, 2, 2), captions=captions)

    return make
