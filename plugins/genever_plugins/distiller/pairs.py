"""Noise, and where a model's ordinary differential equation carries it: made as a round begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from genever.slots import ConditionerModule, Guidance
from genever.training import Batch, Composition, normal_of_numbers
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.distiller.progressive import StudentSteps
from genever_plugins.distiller.synthetic import AT_A_TIME, asked

__all__ = ["Pairs", "paired"]


class Pairs(nn.Module):
    """Noise and data that belong together, in half precision, and their conditions: buffers, which a checkpoint holds."""

    noise: Float[Tensor, " num channels height width"]
    data: Float[Tensor, " num channels height width"]
    cond: Int[Tensor, " num *rest"]

    def __init__(self, composition: Composition, num: int) -> None:
        super().__init__()
        shape, device = (num, *composition.latent.shape), composition.device
        self.register_buffer("noise", torch.zeros(shape, dtype=torch.float16, device=device))
        self.register_buffer("data", torch.zeros(shape, dtype=torch.float16, device=device))
        one = asked(composition, range(1))
        self.register_buffer("cond", torch.zeros((num, *one.shape[1:]), dtype=one.dtype, device=device))

    def batch(self, beside: Batch, conditioner: ConditionerModule) -> tuple[Tensor, Batch]:
        """The noise of as many pairs as another batch has samples, with its luck, and these pairs in its place."""
        chosen = beside.draws.integers("pair", len(self.data))
        cond = self.cond[chosen]
        pairs = replace(beside, x_1=self.data[chosen].float(), cond=cond, null=conditioner.null(cond))
        return self.noise[chosen].float(), pairs


def paired(
    composition: Composition, *, num_steps: int, guidance: Guidance | None, round_number: int
) -> Callable[[Any], None]:
    """Fills the role "pairs" of a method by its model as it is now, for the conditions of the training data in their order.

    Args:
        num_steps: of Euler's method, evenly spaced.
        guidance: of the model.
        round_number: every round has noise of its own.
    """

    @torch.no_grad()
    def prepare(method: Any) -> None:
        pairs, model = method.roles["pairs"], method.roles["model"]
        num, name, shape = len(pairs.data), f"noise of pairs {round_number}", composition.latent.shape
        for first in range(0, num, AT_A_TIME):
            rows = range(first, min(first + AT_A_TIME, num))
            pairs.cond[first : rows.stop] = asked(composition, rows).to(pairs.cond.device)
            pairs.noise[first : rows.stop] = normal_of_numbers(composition.seed, rows, name, shape, composition.device)
        was_training = model.training
        model.eval()
        pairs.data.copy_(torch.cat([*_ends(composition, model, pairs, num_steps, guidance)])[:num])
        model.train(was_training)

    return prepare


def _ends(
    composition: Composition, model: nn.Module, pairs: Pairs, num_steps: int, guidance: Guidance | None
) -> Iterator[Tensor]:
    """Where noise ends, in its order, which the processes share; what is left over at the end is followed in vain."""
    world, num, solver = composition.world, len(pairs.data), StudentSteps(num_steps=num_steps)

    def follow(chunk: int) -> Tensor:
        rows = [(chunk * AT_A_TIME + n) % num for n in range(AT_A_TIME)]
        field = composition.field_of(model, pairs.cond[rows], guidance)
        return solver(field, pairs.noise[rows].float(), generator=torch.Generator(composition.device)).float()

    for first in range(0, -(-num // AT_A_TIME), world.size):
        yield from world.gather(follow(first + world.rank))
