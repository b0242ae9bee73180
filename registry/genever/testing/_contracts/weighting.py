"""Weights of errors."""

from __future__ import annotations

import torch
from torch import Tensor

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyPath


def weights_are_one_number_for_each_sample(case: Case) -> None:
    times = torch.linspace(0.05, 0.95, 11)
    weights = _weights(case, times)
    assert weights.shape == times.shape
    assert weights.dtype == torch.float32


def weights_are_finite_and_not_negative(case: Case) -> None:
    weights = _weights(case, torch.linspace(0.001, 0.999, 101))
    assert bool(weights.isfinite().all())
    assert bool((weights >= 0).all())
    assert float(weights.max()) > 0


def weight_depends_on_its_own_time_alone(case: Case) -> None:
    times = torch.linspace(0.05, 0.95, 11)
    torch.testing.assert_close(_weights(case, times[3:4]), _weights(case, times)[3:4])


def weights_are_not_drawn(case: Case) -> None:
    with global_luck_untouched():
        _weights(case, torch.linspace(0.05, 0.95, 11))


def _weights(case: Case, times: Tensor) -> Tensor:
    return case.part()(times, path=ToyPath(), prediction="velocity")
