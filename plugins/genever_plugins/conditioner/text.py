"""A small text encoder that learns together with the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from genever.values import Condition, ConditionSpec, DataSpec, Samples
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from genever_plugins.conditioner.words import BEGIN, NUM_ROWS, PAD, number_of, tokenize, words_of

__all__ = ["Text"]


@dataclass(frozen=True, kw_only=True)
class Text:
    """Captions through a small transformer encoder of our own, for captions such as "three red circles left of a square".

    A token is a word: its hash picks one row of each of two tables, whose sum is its embedding. So it needs no vocabulary
    file, no word is unknown, and a caption of eight words is eight tokens. Upper and lower case are the same. "No
    condition" is the empty caption. The pooled vector is the mean of the tokens.

    Args:
        width: features of a token; a multiple of `heads`.
        depth: number of blocks.
        heads: attention heads.
        max_length: tokens of a caption, its begin included; what is longer is cut, and the first time a warning says so.
        dropout: share of training samples whose caption becomes the empty one, in [0, 1]. 0 = disable.

    References:
        Svenstrup et al., Hash embeddings for efficient word representations, 2017. arXiv:1709.03933
    """

    provides: ClassVar[tuple[str, ...]] = ("new_words", "unconditional if dropout")
    needs: ClassVar[tuple[str, ...]] = ("data.captions", "backbone.text")

    width: Annotated[int, Ge(1)] = 256
    depth: Annotated[int, Ge(0)] = 2
    heads: Annotated[int, Ge(1)] = 4
    max_length: Annotated[int, Ge(2)] = 32
    dropout: Annotated[float, Ge(0), Le(1)] = 0.1

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(
                f"conditioner.Text.width = {self.width} is not a multiple of conditioner.Text.heads = {self.heads}. "
                "Choose a width that is."
            )

    def build(self, data: DataSpec) -> nn.Module:
        if not data.captions:
            raise ValueError(
                "conditioner.Text needs captions, but the data has none. "
                "Use conditioner.Classes, conditioner.Unconditional, or data whose images have captions."
            )
        return TextModule(self)


class TextModule(nn.Module):
    """`genever.slots.TeachableConditionerModule` of captions."""

    added: nn.Parameter | None

    def __init__(self, part: Text) -> None:
        super().__init__()
        self.spec = ConditionSpec(text_width=part.width, text_length=part.max_length, pooled_width=part.width)
        self.max_length = part.max_length
        self.first = nn.Embedding(NUM_ROWS, part.width)
        self.second = nn.Embedding(NUM_ROWS, part.width)
        self.positions = nn.Parameter(torch.empty(part.max_length, part.width))
        self.blocks = nn.ModuleList(TextBlock(part.width, part.heads) for _ in range(part.depth))
        self.norm = nn.LayerNorm(part.width)
        for table in (self.first.weight, self.second.weight, self.positions):
            nn.init.normal_(table, std=0.02)
        self.register_parameter("added", None)
        self.added_words: dict[str, range] = {}

    def knows(self, word: str, captions: Sequence[str]) -> bool:
        """Whether it is one of the captions' words: every other has a place in the tables too, that means nothing."""
        return words_of(word) == [word.lower()] and any(word.lower() in words_of(caption) for caption in captions)

    def add_word(self, word: str, init: str, num_vectors: int) -> nn.Parameter:
        first = self._embedded(torch.tensor([number_of(init.lower())], device=self.positions.device))
        self.added = nn.Parameter(first.detach().repeat(num_vectors, 1))
        self.added_words = {word.lower(): range(NUM_ROWS**2, NUM_ROWS**2 + num_vectors)}
        return self.added

    def prepare(self, samples: Samples) -> Int[Tensor, " batch length"]:
        assert samples.captions is not None
        return tokenize(samples.captions, self.max_length, self.added_words)

    def null(self, cond: Int[Tensor, " batch length"]) -> Int[Tensor, " batch length"]:
        """The empty caption: a begin and nothing else."""
        empty = torch.full_like(cond, PAD)
        empty[:, 0] = BEGIN
        return empty

    def forward(self, cond: Int[Tensor, " batch length"]) -> Condition:
        mask = cond != PAD
        x = self._embedded(cond) + self.positions
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x) * mask.unsqueeze(2)
        return Condition(tokens=x, mask=mask, pooled=x.sum(1) / mask.sum(1, keepdim=True))

    def _embedded(self, cond: Int[Tensor, " *places"]) -> Float[Tensor, " *places width"]:
        """The sum of a word's two rows, or an added word's vector of its own."""
        if self.added is None:
            return self.first(cond // NUM_ROWS) + self.second(cond % NUM_ROWS)
        known, own = cond.clamp_max(NUM_ROWS**2 - 1), (cond - NUM_ROWS**2).clamp_min(0)
        x = self.first(known // NUM_ROWS) + self.second(known % NUM_ROWS)
        return torch.where((cond >= NUM_ROWS**2).unsqueeze(-1), F.embedding(own, self.added), x)


class TextBlock(nn.Module):
    """Attention, then an MLP, each behind a layer norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(
        self, x: Float[Tensor, " batch length width"], mask: Bool[Tensor, " batch length"]
    ) -> Float[Tensor, " batch length width"]:
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))
