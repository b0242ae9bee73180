"""Noise, and where a model's ordinary differential equation carries it: made as a round begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from genever.slots import ConditionerModule, Guidance
from genever.training import Batch, Composition, Method, normal_of_numbers
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.distiller.chunks import asked, in_chunks, told
from genever_plugins.distiller.progressive import StudentSteps

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
        one = asked(composition, 1)
        self.register_buffer("cond", torch.zeros((num, *one.shape[1:]), dtype=one.dtype, device=device))

    def batch(self, beside: Batch, conditioner: ConditionerModule) -> tuple[Tensor, Batch]:
        """The noise of as many pairs as another batch has samples, with its luck, and these pairs in its place."""
        chosen = beside.draws.integers("pair", len(self.data))
        cond = self.cond[chosen]
        pairs = replace(beside, x_1=self.data[chosen].float(), cond=cond, null=conditioner.null(cond))
        return self.noise[chosen].float(), pairs


def paired(
    composition: Composition, *, num_steps: int, guidance: Guidance | None, round_number: int
) -> Callable[[Method], None]:
    """Fills the role "pairs" of a method by its model as it is now, for the conditions of the training data in their order.

    Args:
        num_steps: of Euler's method, evenly spaced.
        guidance: of the model.
        round_number: every round has noise of its own.
    """
    solver, name = StudentSteps(num_steps=num_steps), f"noise of pairs {round_number}"

    def prepare(method: Method) -> None:
        pairs, model = method.roles["pairs"], method.roles["model"]
        assert isinstance(pairs, Pairs)
        num, shape, device = len(pairs.data), composition.latent.shape, composition.device

        def draw(chunk: int, rows: Sequence[int]) -> Tensor:
            return normal_of_numbers(composition.seed, rows, name, shape, device).half()

        def follow(chunk: int, rows: Sequence[int]) -> Tensor:
            field = composition.field_of(model, pairs.cond[rows], guidance, told(composition, rows, guidance))
            return solver(field, pairs.noise[rows].float(), generator=torch.Generator(device)).float()

        pairs.cond.copy_(asked(composition, num))
        pairs.noise.copy_(in_chunks(composition, num, draw))
        was_training = model.training
        model.eval()
        pairs.data.copy_(in_chunks(composition, num, follow))
        model.train(was_training)

    return prepare
