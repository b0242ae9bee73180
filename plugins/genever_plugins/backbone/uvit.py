"""A transformer with a U-Net's long skips, to which everything is a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from genever.values import Condition, ConditionSpec, LatentSpec
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.backbone.attention import MLP, SelfAttention
from genever_plugins.backbone.numbers import NumberEmbeddings
from genever_plugins.backbone.patches import grid_of, patch_grid, unpatchify
from genever_plugins.backbone.recomputed import run_block
from genever_plugins.backbone.time_embedding import TimeEmbedding

__all__ = ["UViT"]


@dataclass(frozen=True, kw_only=True)
class UViT:
    """U-ViT: time, class, text and patches are one row of tokens; a block of the second half also reads its mirror image.

    The defaults are U-ViT-S/2. Further numbers are in the time's token. A long skip is a linear layer on both halves'
    tokens, side by side. Positions are learned; those of another grid are interpolated.

    Args:
        width: features of a token; a multiple of 2 and of `heads`.
        depth: number of blocks, odd: as many before the middle one as after it.
        heads: attention heads.
        patch: side of a patch in latent pixels; it divides both sides of the latent.
        mlp_ratio: hidden width of a block's MLP, in widths.
        time_scale: the time embedding reads time_scale · t.
        recompute: recompute blocks in the backward pass instead of storing their activations (gradient checkpointing).

    References:
        Bao et al., All are worth words: a ViT backbone for diffusion models, 2022. arXiv:2209.12152
    """

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes", "text", "numbers", "any_size", "forward_mode")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("recompute",)

    width: Annotated[int, Ge(2)] = 512
    depth: Annotated[int, Ge(1)] = 13
    heads: Annotated[int, Ge(1)] = 8
    patch: Annotated[int, Ge(1)] = 2
    mlp_ratio: Annotated[float, Gt(0)] = 4.0
    time_scale: float = 1000.0
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.width % 2 or self.width % self.heads:
            raise ValueError(
                f"backbone.UViT.width = {self.width} is not a multiple of 2 and of backbone.UViT.heads = {self.heads}. "
                "Choose a width that is a multiple of both."
            )
        if self.depth % 2 == 0:
            raise ValueError(
                f"backbone.UViT.depth = {self.depth} is even, but one block is in the middle. "
                f"Choose an odd number, such as {self.depth + 1}."
            )

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return UViTNetwork(self, latent, condition)


class UViTNetwork(nn.Module):
    """`genever.slots.Network`."""

    def __init__(self, part: UViT, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = part.depth, part.width
        self.feature_grid = patch_grid(latent, part.patch, "backbone.UViT.patch")
        self.patch, self.recompute = part.patch, part.recompute
        classes, text = condition.num_classes, condition.text_width
        self.num_extras = 1 + (classes is not None) + (condition.text_length or 0)
        num_tokens = self.num_extras + self.feature_grid[0] * self.feature_grid[1]
        self.patch_embed = nn.Conv2d(latent.channels, part.width, part.patch, stride=part.patch)
        self.time_embed = TimeEmbedding(part.width, scale=part.time_scale)
        self.label_emb = None if classes is None else nn.Embedding(classes + 1, part.width)
        self.context_embed = None if text is None else nn.Linear(text, part.width)
        self.pos_embed = nn.Parameter(torch.empty(1, num_tokens, part.width))
        half = part.depth // 2
        self.blocks = nn.ModuleList(
            UViTBlock(part.width, part.heads, part.mlp_ratio, skip=number > half) for number in range(part.depth)
        )
        self.norm = nn.LayerNorm(part.width)
        self.decoder_pred = nn.Linear(part.width, part.patch**2 * latent.channels)
        self.final_layer = nn.Conv2d(latent.channels, latent.channels, 3, padding=1)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_initialise)
        self.numbers = NumberEmbeddings(condition.numbers, part.width)

    def forward(
        self,
        x: Float[Tensor, " batch channels height width"],
        t: Float[Tensor, " batch"],
        condition: Condition,
        *,
        taps: Sequence[int] = (),
    ) -> tuple[Float[Tensor, " batch channels height width"], tuple[Tensor, ...]]:
        tokens, mask = self.embed(x, t, condition)
        outputs: dict[int, Tensor] = {}
        skips: list[Tensor] = []
        for number, block in enumerate(self.blocks, start=1):
            skip = skips.pop() if number > self.num_blocks // 2 + 1 else None
            tokens = run_block(block, tokens, skip, mask, recompute=self.recompute)
            if number <= self.num_blocks // 2:
                skips.append(tokens)
            if number in taps:
                outputs[number] = tokens[:, self.num_extras :]
        patches = self.decoder_pred(self.norm(tokens))[:, self.num_extras :]
        image = self.final_layer(unpatchify(patches, grid_of(x, self.patch), self.patch))
        return image, tuple(outputs[tap] for tap in taps)

    def embed(
        self, x: Tensor, t: Tensor, condition: Condition
    ) -> tuple[Float[Tensor, " batch tokens width"], Bool[Tensor, " batch tokens"] | None]:
        """Every token, the patches last, and which of them may be read; None = all."""
        parts = [self.numbers(self.time_embed(t), condition.numbers).unsqueeze(1)]
        if self.label_emb is not None:
            parts.append(self.label_emb(condition.classes).unsqueeze(1))
        before = len(parts)
        if self.context_embed is not None:
            parts.append(self.context_embed(condition.tokens))
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([*parts, patches], 1) + self.positions(grid_of(x, self.patch))
        if condition.mask is None:
            return tokens, None
        shown = torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device)
        shown[:, before : self.num_extras] = condition.mask
        return tokens, shown

    def positions(self, grid: tuple[int, int]) -> Float[Tensor, " 1 tokens width"]:
        """The learned positions; those of a grid that the network was not built for lie between them."""
        if grid == self.feature_grid:
            return self.pos_embed
        extras, patches = self.pos_embed[:, : self.num_extras], self.pos_embed[:, self.num_extras :]
        learned = patches.transpose(1, 2).unflatten(2, self.feature_grid)
        between = F.interpolate(learned, grid, mode="bilinear", align_corners=False)
        return torch.cat([extras, between.flatten(2).transpose(1, 2)], 1)


class UViTBlock(nn.Module):
    """Attention, then an MLP, each behind a layer norm; before them the long skip, where there is one."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, *, skip: bool) -> None:
        super().__init__()
        self.skip_linear = nn.Linear(2 * width, width) if skip else None
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads, qk_norm=False)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, x: Tensor, skip: Tensor | None, mask: Tensor | None) -> Tensor:
        if self.skip_linear is not None:
            assert skip is not None
            x = self.skip_linear(torch.cat([x, skip], 2))
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
