"""A teacher's samples in the place of data, made before training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from genever.slots import ConditionerModule, Guidance
from genever.training import Batch, Composition, Method, derived_seed, normal_of_numbers
from jaxtyping import Float, Int
from torch import Tensor, nn

from genever_plugins.distiller.chunks import asked, in_chunks, told

__all__ = ["Synthetic", "synthesised"]


class Synthetic(nn.Module):
    """Latents in half precision, and the conditions that they were asked for: buffers, so that a checkpoint holds them."""

    latents: Float[Tensor, " num channels height width"]
    cond: Int[Tensor, " num *rest"]

    def __init__(self, composition: Composition, num: int) -> None:
        super().__init__()
        shape, device = (num, *composition.latent.shape), composition.device
        self.register_buffer("latents", torch.zeros(shape, dtype=torch.float16, device=device))
        one = asked(composition, 1)
        self.register_buffer("cond", torch.zeros((num, *one.shape[1:]), dtype=one.dtype, device=device))

    def batch(self, beside: Batch, conditioner: ConditionerModule) -> Batch:
        """As many samples as another batch has, with its luck."""
        chosen = beside.draws.integers("synthetic", len(self.latents))
        cond = self.cond[chosen]
        return replace(beside, x_1=self.latents[chosen].float(), cond=cond, null=conditioner.null(cond))


def synthesised(composition: Composition, guidance: Guidance | None) -> Callable[[Method], None]:
    """Fills the role "synthetic" of a method: by the stage's solver, for the conditions of the training data in their order.

    Args:
        guidance: of the role "teacher", whose samples they are.
    """

    def prepare(method: Method) -> None:
        made, teacher = method.roles["synthetic"], method.roles["teacher"]
        assert isinstance(made, Synthetic)
        shape, device = composition.latent.shape, composition.device

        def draw(chunk: int, rows: Sequence[int]) -> Tensor:
            field = composition.field_of(teacher, made.cond[rows], guidance, told(composition, rows, guidance))
            noise = normal_of_numbers(composition.seed, rows, "synthetic noise", shape, device)
            generator = torch.Generator(device).manual_seed(derived_seed(composition.seed, "synthetic", chunk))
            return composition.solver(field, noise, generator=generator).float()

        made.cond.copy_(asked(composition, len(made.cond)))
        made.latents.copy_(in_chunks(composition, len(made.latents), draw))

    return prepare
