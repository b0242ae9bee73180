"""What global generators are left as."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["global_luck_untouched"]


@contextmanager
def global_luck_untouched() -> Iterator[None]:
    """Fails if what runs inside draws from a global generator: then its luck would depend on what ran before."""
    before = _states()
    yield
    for name, state in _states().items():
        assert state == before[name], f"It draws from the global generator of {name}. Draw from the one that is given."


def _states() -> dict[str, bytes]:
    # Python's own generator is not looked at: type checkers at run time (beartype) draw from it.
    numpy_state = np.random.get_state(legacy=False)
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr(numpy_state).encode() + numpy_state["state"]["key"].tobytes(),  # pyright: ignore[reportArgumentType, reportCallIssue]
    }
