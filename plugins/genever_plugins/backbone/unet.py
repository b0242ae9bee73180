"""The convolutional U-Net of DDPM and Stable Diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from annotated_types import Ge, MinLen
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from genever.values import Condition, ConditionSpec, LatentSpec
from jaxtyping import Float
from torch import Tensor, nn

from genever_plugins.backbone.image_condition import beside
from genever_plugins.backbone.numbers import NumberEmbeddings, RowsAdded

__all__ = ["UNet"]


@dataclass(frozen=True, kw_only=True)
class UNet:
    """Residual convolutions, with attention at the coarser levels; through diffusers.

    Without text it is UNet2DModel, with self-attention. With text it is UNet2DConditionModel, whose attention levels read
    the text's tokens by cross-attention too. A class, or "no class", and further numbers are added to the time embedding.
    An image is read as further channels of the input. At the start the output is exactly 0. It has no taps.

    Args:
        widths: channels of each level; every level after the first halves both sides, which must divide.
        blocks: residual blocks of a level.
        attention_levels: levels with attention, counted from 0; the bottom of the U always has it.
        head_width: features of an attention head; it divides the width of every level with attention, and the last one's.
        groups: groups of the group norms; it divides every width.
        time_scale: the time embedding reads time_scale · t.
        recompute: recompute blocks in the backward pass instead of storing their activations (gradient checkpointing).

    References:
        Ho et al., Denoising diffusion probabilistic models, 2020. arXiv:2006.11239
        Rombach et al., High-resolution image synthesis with latent diffusion models, 2021. arXiv:2112.10752
        Saharia et al., Image super-resolution via iterative refinement (SR3), 2021. arXiv:2104.07636
    """

    provides: ClassVar[tuple[str, ...]] = ("classes", "text", "image", "numbers", "any_size", "forward_mode")
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("recompute",)

    widths: Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)] = (128, 256, 256)
    blocks: Annotated[int, Ge(1)] = 2
    attention_levels: Sequence[Annotated[int, Ge(0)]] = (1, 2)
    head_width: Annotated[int, Ge(1)] = 32
    groups: Annotated[int, Ge(1)] = 32
    time_scale: float = 1000.0
    recompute: bool = False

    def __post_init__(self) -> None:
        levels = len(self.widths)
        if not levels:
            raise ValueError("backbone.UNet.widths is empty. Give the channels of one level or more, such as (128, 256).")
        for level in self.attention_levels:
            if not 0 <= level < levels:
                raise ValueError(
                    f"backbone.UNet.attention_levels holds {level}, but backbone.UNet.widths = {self.widths!r} makes "
                    f"{levels} levels. Use numbers from 0 to {levels - 1}."
                )
        self._divides("groups", self.groups, self.widths)
        self._divides("head_width", self.head_width, [self.widths[i] for i in (*self.attention_levels, levels - 1)])

    def _divides(self, name: str, divisor: int, widths: Sequence[int]) -> None:
        for width in widths:
            if width % divisor:
                raise ValueError(
                    f"backbone.UNet.{name} = {divisor} does not divide {width}, one of backbone.UNet.widths. "
                    "Choose one that divides it."
                )

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        factor = 2 ** (len(self.widths) - 1)
        if latent.height % factor or latent.width % factor:
            raise ValueError(
                f"backbone.UNet.widths = {self.widths!r} halves the sides {len(self.widths) - 1} times, but {factor} does "
                f"not divide {latent.height}x{latent.width}, the size that the codec hands over. Use fewer levels."
            )
        return UNetNetwork(self, latent, condition)


class UNetNetwork(nn.Module):
    """`genever.slots.Network` around diffusers' U-Nets."""

    num_blocks = 0
    feature_width = 0
    feature_grid = (0, 0)

    def __init__(self, part: UNet, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__()
        self.time_scale = part.time_scale
        has_attention = [level in part.attention_levels for level in range(len(part.widths))]
        shared: dict[str, Any] = {
            "sample_size": (latent.height, latent.width),
            "in_channels": latent.channels + (condition.image_channels or 0),
            "out_channels": latent.channels,
            "block_out_channels": tuple(part.widths),
            "layers_per_block": part.blocks,
            "norm_num_groups": part.groups,
            "num_class_embeds": None if condition.num_classes is None else condition.num_classes + 1,
        }
        self.reads_text = condition.text_width is not None
        down, up = _blocks(has_attention, "CrossAttn{}Block2D" if self.reads_text else "Attn{}Block2D")
        shared |= {"down_block_types": down, "up_block_types": up}
        if self.reads_text:
            # Here diffusers calls the number of heads attention_head_dim.
            shared["attention_head_dim"] = tuple(max(width // part.head_width, 1) for width in part.widths)
            self.unet = UNet2DConditionModel(**shared, cross_attention_dim=cast(int, condition.text_width))
        else:
            self.unet = UNet2DModel(**shared, attention_head_dim=part.head_width)
        if part.recompute:
            self.unet.enable_gradient_checkpointing()
        for parameter in self.unet.conv_out.parameters():
            nn.init.zeros_(parameter)
        self.numbers_width = self.unet.time_embedding.linear_2.out_features
        self.numbers = NumberEmbeddings(condition.numbers, self.numbers_width)
        if condition.numbers:
            _take_vectors(self.unet)

    def forward(
        self,
        x: Float[Tensor, " batch channels height width"],
        t: Float[Tensor, " batch"],
        condition: Condition,
        *,
        taps: Sequence[int] = (),
    ) -> tuple[Float[Tensor, " batch channels height width"], tuple[Tensor, ...]]:
        assert not taps
        text: dict[str, Any] = {}
        if self.reads_text:
            text = {"encoder_hidden_states": condition.tokens, "encoder_attention_mask": condition.mask}
        times = self.time_scale * t.float()
        labels: Any = condition.classes
        if self.numbers:
            vectors = self.numbers(x.new_zeros(len(x), self.numbers_width), condition.numbers)
            labels = vectors if labels is None else (labels, vectors)
        (output,) = self.unet(beside(x, condition), times, class_labels=labels, return_dict=False, **text)
        return output, ()


def _take_vectors(unet: Any) -> None:
    """Makes room for vectors where diffusers has it for classes alone."""
    table = unet.class_embedding
    unet.class_embedding = nn.Identity() if table is None else RowsAdded(table)


def _blocks(has_attention: Sequence[bool], name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """diffusers' names of the blocks on the way down, and on the way up."""
    kinds = [name if attention else "{}Block2D" for attention in has_attention]
    return tuple(kind.format("Down") for kind in kinds), tuple(kind.format("Up") for kind in reversed(kinds))
