"""Guidance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genever.slots import Guidance
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched


def output_is_shaped_as_the_image(case: Case) -> None:
    x = _inputs()[0]
    output = _guided(case, _predict)
    assert output.shape == x.shape
    assert output.dtype == x.dtype
    assert bool(output.isfinite().all())


def condition_that_says_nothing_guides_nowhere(case: Case) -> None:
    part = case.part()
    if case.composition().build_guidance(part) is not part:
        return  # It looks at more than outputs.
    x, t, cond, null = _inputs()
    torch.testing.assert_close(_guided(case, lambda x, t, cond: _predict(x, t, cond * 0)), _predict(x, t, cond * 0))
    assert not torch.equal(_predict(x, t, cond), _predict(x, t, null))


def output_of_a_sample_depends_on_it_alone(case: Case) -> None:
    x, t, cond, null = _inputs()
    alone = _built(case)(_predict, x[1:2], t[1:2], cond[1:2], null[1:2])
    torch.testing.assert_close(alone, _guided(case, _predict)[1:2])


def gradient_flows_through(case: Case) -> None:
    x, t, cond, null = _inputs()
    x.requires_grad_()
    _built(case)(_predict, x, t, cond, null).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
    assert float(x.grad.abs().sum()) > 0


def guidance_is_not_drawn(case: Case) -> None:
    with global_luck_untouched():
        assert torch.equal(_guided(case, _predict), _guided(case, _predict))


def _inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    return x, torch.tensor([0.1, 0.4, 0.6, 0.9]), torch.tensor([1, 2, 1, 2]), torch.zeros(4, dtype=torch.int64)


def _predict(x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
    """A network whose output depends on everything."""
    return torch.sin(x * (1 + cond.view(-1, 1, 1, 1))) + t.view(-1, 1, 1, 1)


def _guided(case: Case, predict: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    return _built(case)(predict, *_inputs())


def _built(case: Case) -> Guidance:
    return case.composition().build_guidance(case.part())
