"""A teacher's samples in the place of data, made before training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from genever.slots import ConditionerModule, Guidance
from genever.training import Batch, Composition, derived_seed, normal_of_numbers
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["AT_A_TIME", "Synthetic", "asked", "synthesised"]

#: Samples that are made together.
AT_A_TIME = 250


class Synthetic(nn.Module):
    """Latents in half precision, and the conditions that they were asked for: buffers, so that a checkpoint holds them."""

    latents: Float[Tensor, " num channels height width"]
    cond: Int[Tensor, " num *rest"]

    def __init__(self, shape: tuple[int, int, int], cond: Int[Tensor, " num *rest"]) -> None:
        super().__init__()
        self.register_buffer("latents", torch.zeros((len(cond), *shape), dtype=torch.float16))
        self.register_buffer("cond", cond)

    def batch(self, beside: Batch, conditioner: ConditionerModule) -> Batch:
        """As many samples as another batch has, with its luck."""
        chosen = beside.draws.integers("synthetic", len(self.latents))
        cond = self.cond[chosen]
        return replace(beside, x_1=self.latents[chosen].float(), cond=cond, null=conditioner.null(cond))


def synthesised(composition: Composition, num: int, guidance: Guidance | None) -> Synthetic:
    """The teacher's samples for the conditions of the training data, by the stage's solver.

    Where a run goes on there is only room for them: its checkpoint holds them.
    """
    one = asked(composition, range(1))
    made = Synthetic(composition.latent.shape, one.new_zeros((num, *one.shape[1:]))).to(composition.device)
    if composition.holds_start:
        chunks = [range(first, min(first + AT_A_TIME, num)) for first in range(0, num, AT_A_TIME)]
        made.cond.copy_(torch.cat([asked(composition, chunk) for chunk in chunks]))
        made.latents.copy_(torch.cat([*_drawn(composition, made.cond, guidance)])[:num])
    return made


def asked(composition: Composition, numbers: Sequence[int]) -> Int[Tensor, " num *rest"]:
    """Conditions of the training data, again from its beginning where it ends."""
    data = composition.data
    return composition.conditioner.prepare(data.fetch([number % len(data) for number in numbers]))


@torch.no_grad()
def _drawn(composition: Composition, cond: Tensor, guidance: Guidance | None) -> Iterator[Tensor]:
    """Latents in their order, which the processes share; what is left over at the end is drawn in vain."""
    world, num, device = composition.world, len(cond), composition.device

    def draw(chunk: int) -> Tensor:
        numbers = [(chunk * AT_A_TIME + n) % num for n in range(AT_A_TIME)]
        field = composition.field_of(composition.teacher, cond[numbers], guidance)
        noise = normal_of_numbers(composition.seed, numbers, "synthetic noise", composition.latent.shape, device)
        generator = torch.Generator(device).manual_seed(derived_seed(composition.seed, "synthetic", chunk))
        return composition.solver(field, noise, generator=generator).float()

    for first in range(0, -(-num // AT_A_TIME), world.size):
        yield from world.gather(draw(first + world.rank))
