"""A number of each sample beside another conditioner's condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from genever.slots import ImageConditionerModule, NumberConditionerModule
from genever.training import Composition, Draws
from genever.values import Condition, DataSpec, Samples
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.conditioner.float_bits import bits, floats, form_of

__all__ = ["NumberModule"]

#: What another conditioner may offer to whoever knows that it does, and that reads no prepared condition.
PASSED_ON = ("images", "check", "knows", "add_word")


class NumberModule(nn.Module):
    """`genever.slots.NumberConditionerModule` around another conditioner's module, and whatever else that one is.

    A sample's row holds the bits of its number, then the other conditioner's integers; so any number of these go around
    each other, in any order.

    Args:
        name: of the number.
        neutral: its value until another one is set.
    """

    def __init__(self, conditioner: Any, data: DataSpec, *, name: str, neutral: float) -> None:
        super().__init__()
        if name in conditioner.spec.numbers:
            raise ValueError(f"Two conditioners of this stage, one around the other, both give {name!r}. Leave one out.")
        self.conditioner = conditioner
        self.name, self.neutral = name, neutral
        self.form = form_of(conditioner, data)
        self.spec = replace(conditioner.spec, numbers=(*conditioner.spec.numbers, name))
        for passed_on in PASSED_ON:
            if hasattr(conditioner, passed_on):
                setattr(self, passed_on, getattr(conditioner, passed_on))
        if isinstance(conditioner, ImageConditionerModule):
            self.augment, self.asked = self._augmented, self._asked

    def prepare(self, samples: Samples) -> Int[Tensor, " batch row"]:
        return self._neutral(self.conditioner.prepare(samples))

    def null(self, cond: Int[Tensor, " batch row"]) -> Int[Tensor, " batch row"]:
        """The other condition left out; the number stays."""
        values, other = self._apart(cond)
        return self._together(values, self.conditioner.null(other))

    def forward(self, cond: Int[Tensor, " batch row"]) -> Condition:
        values, other = self._apart(cond)
        condition = self.conditioner(other)
        return replace(condition, numbers={**(condition.numbers or {}), self.name: values})

    def with_number(
        self, cond: Int[Tensor, " batch row"], name: str, values: Float[Tensor, " batch"]
    ) -> Int[Tensor, " batch row"]:
        mine, other = self._apart(cond)
        if name == self.name:
            return self._together(values, other)
        assert isinstance(self.conditioner, NumberConditionerModule), f"no conditioner here gives {name!r}"
        return self._together(mine, self.conditioner.with_number(other, name, values))

    def _augmented(self, cond: Int[Tensor, " batch row"], draws: Draws) -> Int[Tensor, " batch row"]:
        values, other = self._apart(cond)
        return self._together(values, self.conditioner.augment(other, draws))

    def _asked(self, samples: Samples, numbers: Sequence[int], composition: Composition) -> Int[Tensor, " batch row"]:
        return self._neutral(self.conditioner.asked(samples, numbers, composition))

    def _neutral(self, other: Int[Tensor, " batch *rest"]) -> Int[Tensor, " batch row"]:
        assert torch.equal(other, other.int()), "The other conditioner's integers have more than 32 bits."
        return self._together(torch.full((len(other),), self.neutral, device=other.device), other)

    def _together(self, values: Tensor, other: Tensor) -> Int[Tensor, " batch row"]:
        return torch.cat([bits(values.unsqueeze(1)), other.reshape(len(other), -1).int()], 1)

    def _apart(self, cond: Int[Tensor, " batch row"]) -> tuple[Float[Tensor, " batch"], Int[Tensor, " batch *rest"]]:
        return floats(cond[:, :1]).squeeze(1), cond[:, 1:].long().reshape(len(cond), *self.form)
