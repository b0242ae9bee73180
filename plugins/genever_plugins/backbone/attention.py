"""Attention and MLP, as every transformer here has them; named as in the official DiT."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

__all__ = ["MLP", "CrossAttention", "SelfAttention", "attend"]


def attend(
    q: Float[Tensor, " batch heads queries head_width"],
    k: Float[Tensor, " batch heads keys head_width"],
    v: Float[Tensor, " batch heads keys head_width"],
    mask: Bool[Tensor, " batch keys"] | None = None,
) -> Float[Tensor, " batch queries width"]:
    """Softmax attention to the keys that the mask shows, heads side by side."""
    shown = None if mask is None else mask[:, None, None, :]
    # Norms give float32 under autocast, and attention wants one type.
    mixed = F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, attn_mask=shown)
    return mixed.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention of tokens to each other, those behind the mask left out."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attend(self.q_norm(q), self.k_norm(k), v, mask))


class CrossAttention(nn.Module):
    """Attention of tokens to a text's tokens, those behind its mask left out."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear = nn.Linear(width, width)
        self.kv_linear = nn.Linear(width, 2 * width)
        self.q_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else nn.Identity()
        self.k_norm = nn.RMSNorm(width // heads, eps=1e-6) if qk_norm else nn.Identity()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, text: Tensor, mask: Tensor | None) -> Tensor:
        q = self.q_linear(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv_linear(text).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(attend(self.q_norm(q), self.k_norm(k), v, mask))


class MLP(nn.Module):
    """Two layers around a tanh-approximated GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
