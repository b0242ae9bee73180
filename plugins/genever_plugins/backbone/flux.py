"""The transformer of FLUX: two streams, then one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel, FluxTransformerBlock
from genever.values import Condition, ConditionSpec, LatentSpec
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.backbone.condition_tokens import class_tokens, condition_tokens, pooled_vector
from genever_plugins.backbone.numbers import NumberEmbeddings
from genever_plugins.backbone.patches import grid_of, grid_places, patch_grid
from genever_plugins.backbone.recomputed import run_block
from genever_plugins.backbone.silent_start import start_silent

__all__ = ["Flux"]


@dataclass(frozen=True, kw_only=True)
class Flux:
    """Blocks in which text and image have their own weights, then blocks that take both for one row of tokens.

    A double-stream block is MM-DiT's; a single-stream block runs attention and MLP side by side. Queries and keys turn with
    their patch's row and column (rotary positions), an eighth of their features aside; tokens of a text all stand where the
    first patch does. Through diffusers' FluxTransformer2DModel.

    A class, or no condition at all, is one learned token. Where the conditioner pools nothing, the pooled vector is the
    mean of the tokens. Further numbers are added to the vector of time and pooled text. Unlike in FLUX, padding of a text is
    not read. At the start the output is exactly 0 and every block is the identity (adaLN-Zero).

    Args:
        width: features of a token; a multiple of 4 · `heads`.
        double_depth: number of double-stream blocks, which come first.
        single_depth: number of single-stream blocks. FLUX.1 has twice as many of these.
        heads: attention heads.
        patch: side of a patch in latent pixels; it divides both sides of the latent.
        time_scale: the time embedding reads time_scale · t.
        recompute: recompute blocks in the backward pass instead of storing their activations (gradient checkpointing).

    References:
        Black Forest Labs, FLUX.1 Kontext: Flow matching for in-context image generation and editing in latent space, 2025.
            arXiv:2506.15742
        Esser et al., Scaling rectified flow transformers for high-resolution image synthesis, 2024. arXiv:2403.03206
        Dehghani et al., Scaling vision transformers to 22 billion parameters, 2023 (attention beside the MLP).
            arXiv:2302.05442
        Su et al., RoFormer: Enhanced transformer with rotary position embedding, 2021. arXiv:2104.09864
    """

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes", "text", "numbers", "any_size", "forward_mode")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("recompute",)

    width: Annotated[int, Ge(4)] = 384
    double_depth: Annotated[int, Ge(0)] = 4
    single_depth: Annotated[int, Ge(0)] = 8
    heads: Annotated[int, Ge(1)] = 6
    patch: Annotated[int, Ge(1)] = 2
    time_scale: float = 1000.0
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.width % (4 * self.heads):
            raise ValueError(
                f"backbone.Flux.width = {self.width} is not a multiple of 4 · backbone.Flux.heads = {4 * self.heads}: "
                "every head turns pairs of its features by row, and pairs by column. Choose such a width, or fewer heads."
            )
        if not self.double_depth + self.single_depth:
            raise ValueError(
                "backbone.Flux.double_depth = 0 and backbone.Flux.single_depth = 0 leave no block. "
                "Set at least one of them to 1 or more."
            )

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return FluxNetwork(self, latent, condition)


class FluxNetwork(nn.Module):
    """`genever.slots.Network` around diffusers' modules."""

    def __init__(self, part: Flux, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = part.double_depth + part.single_depth, part.width
        self.feature_grid = patch_grid(latent, part.patch, "backbone.Flux.patch")
        self.patch, self.time_scale, self.recompute = part.patch, part.time_scale, part.recompute
        self.class_tokens = class_tokens(condition, part.width)
        read_width = condition.text_width or part.width
        self.transformer = FluxTransformer2DModel(
            in_channels=latent.channels * part.patch**2,
            num_layers=part.double_depth,
            num_single_layers=part.single_depth,
            attention_head_dim=part.width // part.heads,
            num_attention_heads=part.heads,
            joint_attention_dim=read_width,
            pooled_projection_dim=condition.pooled_width or read_width,
            axes_dims_rope=_axes(part.width // part.heads),
        )
        if isinstance(self.blocks[-1], FluxTransformerBlock):
            _leave_out_text(self.blocks[-1])
        start_silent(self)
        self.numbers = NumberEmbeddings(condition.numbers, part.width)

    @property
    def blocks(self) -> list[nn.Module]:
        """Those of two streams, then those of one."""
        return [*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks]

    def forward(
        self,
        x: Float[Tensor, " batch channels height width"],
        t: Float[Tensor, " batch"],
        condition: Condition,
        *,
        taps: Sequence[int] = (),
    ) -> tuple[Float[Tensor, " batch channels height width"], tuple[Tensor, ...]]:
        read, mask = condition_tokens(self.class_tokens, condition, len(x))
        pooled = pooled_vector(condition, read, mask)
        c = self.numbers(self.transformer.time_text_embed(self.time_scale * t.float(), pooled), condition.numbers)
        # Patches are packed as in FLUX, the values of a channel side by side.
        tokens = self.transformer.x_embedder(F.pixel_unshuffle(x, self.patch).flatten(2).transpose(1, 2))
        text, grid = self.transformer.context_embedder(read), grid_of(x, self.patch)
        turns = self.transformer.pos_embed(self.positions(grid, read.shape[1], x.device))
        shown = {"attention_mask": _shown(mask, tokens.shape[1])}
        outputs: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            text, tokens = run_block(block, tokens, text, c, turns, shown, recompute=self.recompute)
            if number in taps:
                outputs[number] = tokens
        values = self.transformer.proj_out(self.transformer.norm_out(tokens, c))
        image = F.pixel_shuffle(values.transpose(1, 2).unflatten(2, grid), self.patch)
        return image, tuple(outputs[tap] for tap in taps)

    def positions(self, grid: tuple[int, int], length: int, device: torch.device) -> Float[Tensor, " tokens 3"]:
        """(0, row, column) of every token, the text's first, at (0, 0, 0); a grid lies upon the built one."""
        rows, columns = (places.to(device) for places in grid_places(grid, built=self.feature_grid))
        patches = F.pad(torch.cartesian_prod(rows, columns), (1, 0))
        return torch.cat([patches.new_zeros(length, 3), patches])


def _axes(head_width: int) -> tuple[int, int, int]:
    """Features of a head that turn with the text's place, the row and the column: FLUX's 16, 56, 56 of 128, in pairs."""
    turning = 2 * max(1, 7 * head_width // 32)
    return head_width - 2 * turning, turning, turning


def _leave_out_text(block: FluxTransformerBlock) -> None:
    """Nothing reads the text behind the last block, so nothing there would learn."""
    block.attn.register_module("to_add_out", nn.Identity())
    block.register_module("ff_context", nn.Identity())


def _shown(mask: Tensor | None, num: int) -> Tensor | None:
    """Which tokens may be read, the image's `num` behind the text's, for every head and query; None = all."""
    return None if mask is None else F.pad(mask, (0, num), value=True)[:, None, None, :]
