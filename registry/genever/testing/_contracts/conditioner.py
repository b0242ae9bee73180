"""Conditioners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genever.parts import passed_on
from genever.slots import ImageConditionerModule, NumberConditionerModule
from genever.testing._case import Case
from genever.testing._contracts._luck import global_luck_untouched
from genever.testing._toy_parts import ToyData
from genever.training import Draws, build_seeded
from genever.values import Condition, Samples


def dropout_is_a_share(case: Case) -> None:
    assert 0 <= case.part().dropout <= 1


def unconditional_is_what_the_dropout_says(case: Case) -> None:
    provides = case.surface.provides
    if case.part().dropout:
        assert passed_on(provides, "unconditional") or {"unconditional", "unconditional if dropout"} & {*provides}, (
            "Guidance would be refused: it is to provide 'unconditional', or 'unconditional if dropout'."
        )


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


@torch.no_grad()
def samples_without_their_condition_are_alike(case: Case) -> None:
    module = _module(case)
    for entry in _but_image(module(module.null(module.prepare(_samples())))):
        torch.testing.assert_close(entry, entry[:1].expand_as(entry), msg="Two samples without their condition differ.")


@torch.no_grad()
def condition_is_what_its_spec_says(case: Case) -> None:
    module = _module(case)
    spec, cond = module.spec, module.prepare(_samples())
    for given in (cond, module.null(cond)):
        condition = module(given)
        assert _shape(condition.classes) == ((6,) if spec.num_classes else None)
        assert _shape(condition.tokens) == ((6, spec.text_length, spec.text_width) if spec.text_width else None)
        assert _shape(condition.pooled) == ((6, spec.pooled_width) if spec.pooled_width else None)
        if spec.image_channels:
            assert condition.image.shape[:2] == (6, spec.image_channels)
            level = condition.numbers["image_level"]
            assert 0 <= float(level.min()) <= float(level.max()) <= 1
        assert {name: _shape(one) for name, one in (condition.numbers or {}).items()} == dict.fromkeys(spec.numbers, (6,))
        if condition.mask is not None:
            assert _shape(condition.mask) == (6, spec.text_length)
            assert condition.mask.dtype == torch.bool
        if spec.num_classes:
            assert 0 <= int(condition.classes.min()) <= int(condition.classes.max()) <= spec.num_classes


@torch.no_grad()
def null_condition_differs_from_every_other(case: Case) -> None:
    module = _module(case)
    cond = module.prepare(_samples())
    if {name for name, value in vars(module.spec).items() if value} - {"image_channels", "numbers"}:
        assert not bool((cond == module.null(cond)).view(len(cond), -1).all(1).any())


def numbers_are_what_the_abilities_say(case: Case) -> None:
    provides = case.surface.provides
    if not any(".*" in ability for ability in provides):
        assert bool(_settable(case)) == isinstance(_module(case), NumberConditionerModule)


@torch.no_grad()
def numbers_are_set_one_by_one(case: Case) -> None:
    module, generator = _module(case), torch.Generator().manual_seed(0)
    cond = module.prepare(_samples())
    for name in _settable(case):
        values = 100 * torch.randn(6, generator=generator)
        with global_luck_untouched():
            told = module.with_number(cond, name, values)
        assert told.shape == cond.shape
        assert told.dtype == cond.dtype
        assert torch.equal(cond, module.prepare(_samples())), "It writes into what it is given."
        for one in (told, module.null(told)):
            assert torch.equal(module(one).numbers[name], values), "What was set is not what is read."
        others = [{**vars(one), "numbers": _but(one.numbers, name)} for one in (module(cond), module(told))]
        assert all(_alike(others[0][key], others[1][key]) for key in others[0]), f"More than {name} is changed."


def image_is_what_the_abilities_say(case: Case) -> None:
    provides = case.surface.provides
    if not any(".*" in ability for ability in provides):
        assert ("image" in provides) == isinstance(_module(case), ImageConditionerModule)


@torch.no_grad()
def image_stays_where_the_condition_is_left_out(case: Case) -> None:
    module = _module(case)
    if isinstance(module, ImageConditionerModule):
        cond = module.augment(module.prepare(_samples()), _draws())
        with_it, without = module(cond), module(module.null(cond))
        assert torch.equal(_shown(with_it), _shown(without)), "Guidance would compare two images."


@torch.no_grad()
def noise_on_the_image_is_the_luck_of_the_batch(case: Case) -> None:
    module = _module(case)
    if isinstance(module, ImageConditionerModule):
        cond = module.prepare(_samples())
        with global_luck_untouched():
            noised = module.augment(cond, _draws())
        assert noised.shape == cond.shape
        assert noised.dtype == cond.dtype
        assert torch.equal(noised, module.augment(cond, _draws()))
        assert torch.equal(noised[2:3], module.augment(cond[2:3], _draws(slice(2, 3)))), "A sample's noise is its batch's."
        assert torch.equal(cond, module.prepare(_samples())), "It writes into what it is given."
        pairs = zip(_but_image(module(cond)), _but_image(module(noised)), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs), "More than the image is changed."


def meta_device_gives_the_same_shapes(case: Case) -> None:
    real = {name: tuple(one.shape) for name, one in _module(case).state_dict().items()}
    meta = {name: tuple(one.shape) for name, one in _module(case, torch.device("meta")).state_dict().items()}
    assert meta == real


def _module(case: Case, device: torch.device | None = None) -> Any:
    spec = ToyData().build("train").spec
    return build_seeded(0, "conditioner", device or torch.device("cpu"), lambda: case.part().build(spec)).eval()


def _samples(first: int = 0, last: int = 6) -> Samples:
    return ToyData().build("train").fetch(range(first, last))


def _draws(rows: slice = slice(0, 6)) -> Draws:
    return Draws((0, 0, 0), rows, 6, torch.device("cpu"))


def _but_image(condition: Condition) -> list[Tensor]:
    """All that a condition says beside its image."""
    said = {name: value for name, value in vars(condition).items() if name not in ("image", "numbers")}
    return [value for value in (*said.values(), *_but(condition.numbers, "image_level").values()) if value is not None]


def _but(numbers: Mapping[str, Tensor] | None, name: str) -> dict[str, Tensor]:
    return {key: values for key, values in (numbers or {}).items() if key != name}


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if one is None:
        return other is None
    return one.keys() == other.keys() and all(torch.equal(values, other[name]) for name, values in one.items())


def _settable(case: Case) -> list[str]:
    """The numbers that a conditioner lets others set: its abilities bear their names."""
    return [name for name in _module(case).spec.numbers if name in case.surface.provides]


def _shown(condition: Condition) -> Tensor:
    assert condition.image is not None
    return condition.image


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)
