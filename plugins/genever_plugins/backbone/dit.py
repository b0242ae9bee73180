"""The diffusion transformer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt
from genever.values import Condition, ConditionSpec, LatentSpec
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.backbone.adaln_block import AdaLNBlock, modulate
from genever_plugins.backbone.image_condition import beside
from genever_plugins.backbone.numbers import NumberEmbeddings
from genever_plugins.backbone.official_dit_weights import load_official
from genever_plugins.backbone.patches import grid_of, patch_grid, sincos_positions, unpatchify
from genever_plugins.backbone.recomputed import run_block
from genever_plugins.backbone.time_embedding import TimeEmbedding

__all__ = ["DiT"]


@dataclass(frozen=True, kw_only=True)
class DiT:
    """A transformer over patches, conditioned through its layer norms (adaLN-Zero); the defaults are DiT-S/2.

    The vector c = time + further numbers + class + pooled text shifts, scales and gates every block; a text's tokens are
    read by cross-attention, an image as further channels of the patches. At the start the output is exactly 0 and every
    block is the identity. Labels are not dropped in here: class num_classes, "none", has a
    row of its own. S, B, L, XL are width 384, 768, 1024, 1152, depth 12, 12, 24, 28 and 6, 12, 16, 16 heads.

    Args:
        width: features of a token; a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: attention heads.
        patch: side of a patch in latent pixels; it divides both sides of the latent.
        mlp_ratio: hidden width of a block's MLP, in widths.
        qk_norm: RMS-normalise queries and keys, for stability in low precision.
        time_scale: the time embedding reads time_offset + time_scale · t. The official SiT reads t itself: 1.0.
        time_offset: see `time_scale`. The official DiT counts steps 0 .. 999 from data to noise: time_scale = -1000.0 and
            time_offset = 999.0 (its step n is t = 1 - (n + 1) / 1000).
        recompute: recompute blocks in the backward pass instead of storing their activations (gradient checkpointing).
        weights: a local .safetensors or .pt file of official DiT or SiT weights to start from; of a learned variance only
            the mean is kept. None = random.

    References:
        Peebles and Xie, Scalable diffusion models with transformers, 2022. arXiv:2212.09748
        Ma et al., SiT, 2024. arXiv:2401.08740
        Chen et al., PixArt-α, 2023 (the cross-attention). arXiv:2310.00426
    """

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes", "text", "image", "numbers", "any_size", "forward_mode")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("recompute",)

    width: Annotated[int, Ge(4)] = 384
    depth: Annotated[int, Ge(1)] = 12
    heads: Annotated[int, Ge(1)] = 6
    patch: Annotated[int, Ge(1)] = 2
    mlp_ratio: Annotated[float, Gt(0)] = 4.0
    qk_norm: bool = False
    time_scale: float = 1000.0
    time_offset: float = 0.0
    recompute: bool = False
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                f"backbone.DiT.width = {self.width} is not a multiple of 4 and of backbone.DiT.heads = {self.heads}. "
                "Choose a width that is a multiple of both."
            )

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        network = DiTNetwork(self, latent, condition)
        if self.weights is not None:
            load_official(network, self.weights, "backbone.DiT.weights")
        return network


class DiTNetwork(nn.Module):
    """`genever.slots.Network`; parameters are named as in the official DiT and SiT."""

    pos_embed: Tensor

    def __init__(self, part: DiT, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = part.depth, part.width
        self.feature_grid = patch_grid(latent, part.patch, "backbone.DiT.patch")
        self.patch, self.recompute = part.patch, part.recompute
        channels = latent.channels + (condition.image_channels or 0)
        self.x_embedder = PatchEmbedding(channels, part.width, part.patch)
        self.register_buffer("pos_embed", sincos_positions(part.width, self.feature_grid))
        self.t_embedder = TimeEmbedding(part.width, scale=part.time_scale, offset=part.time_offset)
        classes, text, pooled = condition.num_classes, condition.text_width, condition.pooled_width
        self.y_embedder = None if classes is None else ClassEmbedding(classes, part.width)
        self.text_embedder = None if text is None else _projection(text, part.width)
        self.pooled_embedder = None if pooled is None else _projection(pooled, part.width)
        self.blocks = nn.ModuleList(
            AdaLNBlock(part.width, part.heads, mlp_ratio=part.mlp_ratio, qk_norm=part.qk_norm, text=text is not None)
            for _ in range(part.depth)
        )
        self.final_layer = FinalLayer(part.width, part.patch**2 * latent.channels)
        for name, parameter in self.named_parameters():
            _initialise(name, parameter.detach())
        self.numbers = NumberEmbeddings(condition.numbers, part.width)

    def forward(
        self,
        x: Float[Tensor, " batch channels height width"],
        t: Float[Tensor, " batch"],
        condition: Condition,
        *,
        taps: Sequence[int] = (),
    ) -> tuple[Float[Tensor, " batch channels height width"], tuple[Tensor, ...]]:
        c = self.embed_condition(t, condition)
        text = None if self.text_embedder is None else self.text_embedder(condition.tokens)
        grid = grid_of(x, self.patch)
        tokens = self.x_embedder(beside(x, condition)) + self.positions(grid)
        outputs: dict[int, Tensor] = {}
        for number, block in enumerate(self.blocks, start=1):
            tokens = run_block(block, tokens, c, text, condition.mask, recompute=self.recompute)
            if number in taps:
                outputs[number] = tokens
        image = unpatchify(self.final_layer(tokens, c), grid, self.patch)
        return image, tuple(outputs[tap] for tap in taps)

    def positions(self, grid: tuple[int, int]) -> Float[Tensor, " 1 tokens width"]:
        """Where the patches of a grid stand on the one that the network was built for."""
        if grid == self.feature_grid:
            return self.pos_embed
        return sincos_positions(self.feature_width, grid, built=self.feature_grid).to(self.pos_embed)

    def embed_condition(self, t: Float[Tensor, " batch"], condition: Condition) -> Float[Tensor, " batch width"]:
        """The vector that modulates every block."""
        c = self.numbers(self.t_embedder(t), condition.numbers)
        if self.y_embedder is not None:
            c = c + self.y_embedder(condition.classes)
        if self.pooled_embedder is not None:
            c = c + self.pooled_embedder(condition.pooled)
        return c


class PatchEmbedding(nn.Module):
    """Patches, each projected to a token, row-major."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class ClassEmbedding(nn.Module):
    """One row for each class, and a last one for none."""

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(num_classes + 1, width)

    def forward(self, classes: Tensor) -> Tensor:
        return self.embedding_table(classes)


class FinalLayer(nn.Module):
    """A modulated norm, then each token's patch."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, values)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


def _projection(width: int, target: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, target), nn.GELU(approximate="tanh"), nn.Linear(target, target))


def _initialise(name: str, parameter: Tensor) -> None:
    """The official start: zeros where an output leaves, small normals for embeddings, Xavier elsewhere."""
    zero = ("adaLN_modulation", "cross_attn.proj", "final_layer.linear")
    if name.endswith("bias") or any(part in name for part in zero):
        nn.init.zeros_(parameter)
    elif name.startswith(("t_embedder", "y_embedder", "text_embedder", "pooled_embedder")):
        nn.init.normal_(parameter, std=0.02)
    elif not name.endswith("_norm.weight"):
        nn.init.xavier_uniform_(parameter.flatten(1))
