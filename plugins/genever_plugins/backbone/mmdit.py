"""The multimodal diffusion transformer of Stable Diffusion 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from annotated_types import Ge
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from genever.values import Condition, ConditionSpec, LatentSpec
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.backbone.condition_tokens import class_tokens, condition_tokens, pooled_vector
from genever_plugins.backbone.masked_joint_attention import MaskedJointAttention
from genever_plugins.backbone.numbers import NumberEmbeddings
from genever_plugins.backbone.patches import grid_of, patch_grid, sincos_positions, unpatchify
from genever_plugins.backbone.recomputed import run_block
from genever_plugins.backbone.silent_start import start_silent

__all__ = ["MMDiT"]


@dataclass(frozen=True, kw_only=True)
class MMDiT:
    """Text and image each have their own weights and attend to each other; through diffusers' SD3Transformer2DModel.

    A class, or no condition at all, is one learned token. Where the conditioner pools nothing, the pooled vector is the
    mean of the tokens. Further numbers are added to the vector of time and pooled text. Unlike in SD3, padding of a text is
    not read. At the start the output is exactly 0 and every block is the identity on image tokens (adaLN-Zero).

    Args:
        width: features of a token; a multiple of 4 and of `heads`.
        depth: number of blocks.
        heads: attention heads.
        patch: side of a patch in latent pixels; it divides both sides of the latent.
        qk_norm: RMS-normalise queries and keys, as SD3.5 does, for stability in low precision.
        time_scale: the time embedding reads time_scale · t.
        recompute: recompute blocks in the backward pass instead of storing their activations (gradient checkpointing).

    References:
        Esser et al., Scaling rectified flow transformers for high-resolution image synthesis, 2024. arXiv:2403.03206
    """

    provides: ClassVar[tuple[str, ...]] = ("taps", "classes", "text", "numbers", "any_size", "forward_mode")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("recompute",)

    width: Annotated[int, Ge(4)] = 384
    depth: Annotated[int, Ge(1)] = 12
    heads: Annotated[int, Ge(1)] = 6
    patch: Annotated[int, Ge(1)] = 2
    qk_norm: bool = True
    time_scale: float = 1000.0
    recompute: bool = False

    def __post_init__(self) -> None:
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                f"backbone.MMDiT.width = {self.width} is not a multiple of 4 and of backbone.MMDiT.heads = {self.heads}. "
                "Choose a width that is a multiple of both."
            )

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return MMDiTNetwork(self, latent, condition)


class MMDiTNetwork(nn.Module):
    """`genever.slots.Network` around diffusers' modules."""

    def __init__(self, part: MMDiT, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.num_blocks, self.feature_width = part.depth, part.width
        self.feature_grid = patch_grid(latent, part.patch, "backbone.MMDiT.patch")
        self.patch, self.time_scale, self.recompute = part.patch, part.time_scale, part.recompute
        self.class_tokens = class_tokens(condition, part.width)
        read_width = condition.text_width or part.width
        self.transformer = SD3Transformer2DModel(
            sample_size=max(latent.height, latent.width),
            patch_size=part.patch,
            in_channels=latent.channels,
            num_layers=part.depth,
            attention_head_dim=part.width // part.heads,
            num_attention_heads=part.heads,
            joint_attention_dim=read_width,
            caption_projection_dim=part.width,
            pooled_projection_dim=condition.pooled_width or read_width,
            out_channels=latent.channels,
            pos_embed_max_size=max(self.feature_grid),
            qk_norm="rms_norm" if part.qk_norm else None,
        )
        self.transformer.set_attn_processor(cast(Any, MaskedJointAttention()))
        start_silent(self)
        self.numbers = NumberEmbeddings(condition.numbers, part.width)

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
        text, tokens = self.transformer.context_embedder(read), self.embed_patches(x)
        outputs: dict[int, Tensor] = {}
        for number, block in enumerate(self.transformer.transformer_blocks, start=1):
            text, tokens = run_block(block, tokens, text, c, {"attention_mask": mask}, recompute=self.recompute)
            if number in taps:
                outputs[number] = tokens
        values = self.transformer.proj_out(self.transformer.norm_out(tokens, c))
        return unpatchify(values, grid_of(x, self.patch), self.patch), tuple(outputs[tap] for tap in taps)

    def embed_patches(self, x: Tensor) -> Float[Tensor, " batch tokens width"]:
        """The image's tokens; diffusers knows the positions of the built grid alone, the middle of a square."""
        embedding, grid = self.transformer.pos_embed, grid_of(x, self.patch)
        if grid == self.feature_grid:
            return embedding(x)
        rows, columns = self.feature_grid
        first = (max(columns - rows, 0) // 2, max(rows - columns, 0) // 2)
        positions = sincos_positions(self.feature_width, grid, built=self.feature_grid, first=first)
        return embedding.proj(x).flatten(2).transpose(1, 2) + positions.to(x)
