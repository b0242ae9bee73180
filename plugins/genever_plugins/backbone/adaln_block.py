"""DiT's transformer block: its layer norms are modulated by the condition, and its gates start at zero (adaLN-Zero)."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from genever_plugins.backbone.attention import MLP, CrossAttention, SelfAttention

__all__ = ["AdaLNBlock", "modulate"]


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """One shift and scale a sample, for all its tokens."""
    return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1)


class AdaLNBlock(nn.Module):
    """x += gate · attention(modulated x); x += cross-attention(x, text); x += gate · mlp(modulated x).

    At the start every gate and the cross-attention's output are zero, so the block is the identity.
    Parameters are named as in the official DiT.
    """

    def __init__(self, width: int, heads: int, *, mlp_ratio: float, qk_norm: bool, text: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.attn = SelfAttention(width, heads, qk_norm=qk_norm)
        self.cross_attn = CrossAttention(width, heads, qk_norm=qk_norm) if text else None
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = MLP(width, int(width * mlp_ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(
        self,
        x: Float[Tensor, " batch tokens width"],
        condition: Float[Tensor, " batch width"],
        text: Float[Tensor, " batch length width"] | None = None,
        mask: Bool[Tensor, " batch length"] | None = None,
    ) -> Float[Tensor, " batch tokens width"]:
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.adaLN_modulation(condition).chunk(6, dim=1)
        x = x + gate_1.unsqueeze(1) * self.attn(modulate(self.norm1(x), shift_1, scale_1))
        if self.cross_attn is not None:
            x = x + self.cross_attn(x, text, mask)
        return x + gate_2.unsqueeze(1) * self.mlp(modulate(self.norm2(x), shift_2, scale_2))
