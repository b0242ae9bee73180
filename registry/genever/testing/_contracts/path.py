"""Gaussian probability paths."""

from __future__ import annotations

import torch
from torch import Tensor

from genever.slots import Path
from genever.testing._case import Case


def times_are_in_order(case: Case) -> None:
    path = case.part()
    assert 0 <= path.start < path.stop <= 1


def everything_is_finite_from_start_to_stop(case: Case) -> None:
    path = case.part()
    times = torch.linspace(path.start, path.stop, 101, dtype=torch.float64)
    for name in ("alpha", "sigma", "d_alpha", "d_sigma"):
        assert bool(getattr(path, name)(times).isfinite().all()), f"{name} is not finite everywhere."


def derivatives_are_those_of_the_path(case: Case) -> None:
    path = case.part()
    times = _inside(path).requires_grad_()
    for name in ("alpha", "sigma"):
        (slope,) = torch.autograd.grad(getattr(path, name)(times).sum() + 0 * times.sum(), times)
        torch.testing.assert_close(getattr(path, f"d_{name}")(times), slope, rtol=1e-6, atol=1e-8)


def noise_gives_way_to_data(case: Case) -> None:
    path = case.part()
    times = _inside(path)
    assert bool((path.alpha(times) >= 0).all())
    assert bool((path.sigma(times) > 0).all())
    assert bool(((path.alpha(times) / path.sigma(times)).diff() > 0).all()), "alpha / sigma does not rise with t."


def any_shape_of_times_is_taken(case: Case) -> None:
    path, times = case.part(), _inside(case.part())
    for name in ("alpha", "sigma", "d_alpha", "d_sigma"):
        flat, shaped = getattr(path, name)(times), getattr(path, name)(times.view(-1, 1, 1, 1))
        assert torch.equal(flat, shaped.flatten()), f"{name} depends on the shape of t."
        assert getattr(path, name)(times[0]).shape == ()


def dtype_of_times_is_kept(case: Case) -> None:
    path = case.part()
    for name in ("alpha", "sigma", "d_alpha", "d_sigma"):
        for dtype in (torch.float32, torch.float64):
            assert getattr(path, name)(_inside(path).to(dtype)).dtype == dtype


def _inside(path: Path) -> Tensor:
    start, stop = path.start, path.stop
    return torch.linspace(start, stop, 23, dtype=torch.float64)[1:-1]
