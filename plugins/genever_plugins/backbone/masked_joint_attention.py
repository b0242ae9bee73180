"""SD3's joint attention, without the padding of the text."""

from __future__ import annotations

import torch
from diffusers.models.attention_processor import Attention
from jaxtyping import Bool, Float
from torch import Tensor

from genever_plugins.backbone.attention import attend

__all__ = ["MaskedJointAttention"]


class MaskedJointAttention:
    """A processor for diffusers' Attention. diffusers' own for SD3 takes a mask and ignores it, in version 0.42."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Float[Tensor, " batch tokens width"],
        encoder_hidden_states: Float[Tensor, " batch length width"],
        attention_mask: Bool[Tensor, " batch length"] | None = None,
    ) -> tuple[Float[Tensor, " batch tokens width"], Float[Tensor, " batch length width"]]:
        image = _heads(attn, hidden_states, (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k))
        added = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj), (attn.norm_added_q, attn.norm_added_k)
        text = _heads(attn, encoder_hidden_states, *added)
        q, k, v = (torch.cat(pair, 2) for pair in zip(image, text, strict=True))
        num = hidden_states.shape[1]
        if attention_mask is not None:
            attention_mask = torch.cat([attention_mask.new_ones(len(attention_mask), num), attention_mask], 1)
        mixed = attend(q, k, v, attention_mask)
        image_out, text_out = attn.to_out, attn.to_add_out
        assert image_out is not None
        # The last block has no use for the text, and no projection of it.
        return image_out[0](mixed[:, :num]), mixed[:, num:] if text_out is None else text_out(mixed[:, num:])


def _heads(attn: Attention, x: Tensor, projections: tuple, norms: tuple) -> tuple[Tensor, ...]:
    """Queries, keys and values [batch, heads, tokens, head_width], the first two normalised."""
    q, k, v = (project(x).unflatten(2, (attn.heads, -1)).transpose(1, 2) for project in projections)
    q, k = (one if norm is None else norm(one) for one, norm in zip((q, k), norms, strict=True))
    return q, k, v
