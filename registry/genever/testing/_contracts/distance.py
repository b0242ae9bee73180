"""Distances."""

from __future__ import annotations

import torch
from torch import Tensor

from genever.testing._case import Case


def distance_is_one_number_for_each_sample(case: Case) -> None:
    prediction, target = _images()
    distances = case.part()(prediction, target)
    assert distances.shape == (len(target),)
    assert bool(distances.isfinite().all())
    assert bool((distances > 0).all())


def distance_to_itself_is_zero(case: Case) -> None:
    prediction, _ = _images()
    distances = case.part()(prediction, prediction)
    torch.testing.assert_close(distances, torch.zeros_like(distances), rtol=0, atol=1e-6)


def distance_grows(case: Case) -> None:
    _, target = _images()
    near, far = (case.part()(target + away, target) for away in (0.1, 1.0))
    assert bool((near < far).all())


def distance_of_a_sample_depends_on_it_alone(case: Case) -> None:
    prediction, target = _images()
    part = case.part()
    torch.testing.assert_close(part(prediction[2:3], target[2:3]), part(prediction, target)[2:3])


def gradient_is_finite_even_at_the_target(case: Case) -> None:
    _, target = _images()
    prediction = target.clone().requires_grad_()
    case.part()(prediction, target).sum().backward()
    assert prediction.grad is not None
    assert bool(prediction.grad.isfinite().all())


def gradient_points_away_from_the_target(case: Case) -> None:
    prediction, target = _images()
    prediction.requires_grad_()
    case.part()(prediction, target).sum().backward()
    assert prediction.grad is not None
    assert bool(((prediction.grad * (prediction - target)).flatten(1).sum(1) > 0).all())


def _images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 2, 8, 8, generator=generator) for _ in range(2))
    return first, second
