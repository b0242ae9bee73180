"""Conditioners."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyData
from genever.training import build_seeded
from genever.values import Samples


def dropout_is_a_share(case: Case) -> None:
    assert 0 <= case.part().dropout <= 1


def prepared_conditions_are_integers(case: Case) -> None:
    cond = _module(case).prepare(_samples())
    assert not cond.is_floating_point()
    assert cond.device.type == "cpu"
    assert len(cond) == len(_samples())


def preparing_is_not_drawn(case: Case) -> None:
    module = _module(case)
    with global_luck_untouched():
        assert torch.equal(module.prepare(_samples()), module.prepare(_samples()))


def prepared_condition_of_a_sample_depends_on_it_alone(case: Case) -> None:
    module = _module(case)
    assert torch.equal(module.prepare(_samples(2, 3)), module.prepare(_samples())[2:3])


def null_condition_has_the_same_form(case: Case) -> None:
    module = _module(case)
    cond = module.prepare(_samples())
    null = module.null(cond)
    assert null.shape == cond.shape
    assert null.dtype == cond.dtype
    assert torch.equal(module.null(null), null)
    assert bool((null == null[:1]).all()), "Two samples without their condition differ."


@torch.no_grad()
def condition_is_what_its_spec_says(case: Case) -> None:
    module = _module(case)
    spec, cond = module.spec, module.prepare(_samples())
    for given in (cond, module.null(cond)):
        condition = module(given)
        assert _shape(condition.classes) == ((6,) if spec.num_classes else None)
        assert _shape(condition.tokens) == ((6, spec.text_length, spec.text_width) if spec.text_width else None)
        assert _shape(condition.pooled) == ((6, spec.pooled_width) if spec.pooled_width else None)
        if condition.mask is not None:
            assert _shape(condition.mask) == (6, spec.text_length)
            assert condition.mask.dtype == torch.bool
        if spec.num_classes:
            assert 0 <= int(condition.classes.min()) <= int(condition.classes.max()) <= spec.num_classes


@torch.no_grad()
def null_condition_differs_from_every_other(case: Case) -> None:
    module = _module(case)
    cond = module.prepare(_samples())
    if vars(module.spec) != dict.fromkeys(vars(module.spec)):
        assert not bool((cond == module.null(cond)).view(len(cond), -1).all(1).any())


def meta_device_gives_the_same_shapes(case: Case) -> None:
    real = {name: tuple(one.shape) for name, one in _module(case).state_dict().items()}
    meta = {name: tuple(one.shape) for name, one in _module(case, torch.device("meta")).state_dict().items()}
    assert meta == real


def _module(case: Case, device: torch.device | None = None) -> Any:
    spec = ToyData().build("train").spec
    return build_seeded(0, "conditioner", device or torch.device("cpu"), lambda: case.part().build(spec)).eval()


def _samples(first: int = 0, last: int = 6) -> Samples:
    return ToyData().build("train").fetch(range(first, last))


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)
