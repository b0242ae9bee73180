"""The conversions between what a network can predict, and the error of each sample."""

from __future__ import annotations

import torch
from torch import Tensor

from genever.slots import Loss
from genever.testing._case import Case


def network_is_shown_an_image_and_a_time(case: Case) -> None:
    point = _Point(case)
    shown, times = point.loss.inputs(point.x_t, point.t)
    assert shown.shape == point.x_t.shape
    assert times.shape == point.t.shape
    assert bool(shown.isfinite().all())
    assert bool(times.isfinite().all())


def estimates_rebuild_the_noisy_image(case: Case) -> None:
    point = _Point(case)
    rebuilt = point.alpha * point.estimate("data") + point.sigma * point.estimate("noise")
    _assert_close(rebuilt, point.x_t)


def velocity_is_that_of_the_estimates(case: Case) -> None:
    point = _Point(case)
    path, times = point.loss.path, point.times
    wanted = path.d_alpha(times) * point.estimate("data") + path.d_sigma(times) * point.estimate("noise")
    _assert_close(point.estimate("velocity"), wanted)


def score_is_that_of_the_noise(case: Case) -> None:
    point = _Point(case)
    _assert_close(point.estimate("score"), -point.estimate("noise") / point.sigma)


def pair_of_a_velocity_is_where_it_comes_from(case: Case) -> None:
    point = _Point(case)
    x_1, x_0 = point.loss.pair(point.estimate("velocity"), point.x_t, point.t)
    _assert_close(x_1, point.estimate("data"))
    _assert_close(x_0, point.estimate("noise"))


def errors_are_one_number_for_each_sample(case: Case) -> None:
    point = _Point(case)
    errors = point.errors(point.output)
    assert errors.shape == (len(point.t),)
    assert bool((errors > 0).all())
    for one in range(len(point.t)):
        alone = point.loss.errors(
            point.output[one : one + 1],
            x_t=point.x_t[one : one + 1],
            t=point.t[one : one + 1],
            x_1=point.x_1[one : one + 1],
            x_0=point.x_0[one : one + 1],
        )
        torch.testing.assert_close(alone, errors[one : one + 1])


def error_of_the_exact_output_is_zero(case: Case) -> None:
    point = _Point(case)
    errors = point.errors(point.exact_output())
    torch.testing.assert_close(errors, torch.zeros_like(errors), rtol=0, atol=1e-8)


def errors_grow_with_distance(case: Case) -> None:
    point = _Point(case)
    exact = point.exact_output()
    near, far = (point.errors(exact + away * torch.ones_like(exact)) for away in (0.1, 0.5))
    assert bool((near < far).all())


def errors_are_means_over_dimensions(case: Case) -> None:
    point, larger = _Point(case), _Point(case, repeat=3)
    torch.testing.assert_close(point.errors(point.output), larger.errors(larger.output))


def gradient_reaches_the_output(case: Case) -> None:
    point = _Point(case)
    output = point.output.clone().requires_grad_()
    point.errors(output).mean().backward()
    assert output.grad is not None
    assert bool(output.grad.isfinite().all())
    assert bool((output.grad.flatten(1).abs().sum(1) > 0).all())


def both_ends_of_the_path_are_finite(case: Case) -> None:
    point = _Point(case)
    path = point.loss.path
    for end in (path.start, path.stop):
        t = torch.full_like(point.t, end)
        times = t.view(-1, 1, 1, 1)
        x_t = path.alpha(times) * point.x_1 + path.sigma(times) * point.x_0
        errors = point.loss.errors(point.output, x_t=x_t, t=t, x_1=point.x_1, x_0=point.x_0)
        assert bool(errors.isfinite().all()), f"Errors at t = {end} are not finite."
        for one in point.loss.inputs(x_t, t):
            assert bool(one.isfinite().all()), f"The network is shown something that is not finite at t = {end}."


def _assert_close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


class _Point:
    """Some noisy images, and what a network might say of them; in double precision."""

    def __init__(self, case: Case, repeat: int = 1) -> None:
        self.loss: Loss = case.part()
        path, generator = self.loss.path, torch.Generator().manual_seed(0)
        self.x_1, self.x_0, self.output = (
            torch.randn(5, 2, 4, 4, generator=generator, dtype=torch.float64).repeat(1, 1, 1, repeat) for _ in range(3)
        )
        self.t = torch.linspace(path.start, path.stop, 7, dtype=torch.float64)[1:-1]
        self.times = self.t.view(-1, 1, 1, 1)
        self.alpha, self.sigma = path.alpha(self.times), path.sigma(self.times)
        self.x_t = self.alpha * self.x_1 + self.sigma * self.x_0

    def estimate(self, kind: str, output: Tensor | None = None) -> Tensor:
        return getattr(self.loss, kind)(self.output if output is None else output, self.x_t, self.t)

    def errors(self, output: Tensor) -> Tensor:
        return self.loss.errors(output, x_t=self.x_t, t=self.t, x_1=self.x_1, x_0=self.x_0)

    def exact_output(self) -> Tensor:
        """The output whose estimate of the data is the data; estimates are affine in the output."""
        offset = self.estimate("data", torch.zeros_like(self.output))
        slope = self.estimate("data", torch.ones_like(self.output)) - offset
        return (self.x_1 - offset) / slope
