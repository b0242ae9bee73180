"""A condition as a row of tokens, where image and text attend to each other."""

from __future__ import annotations

import torch
from genever.values import Condition, ConditionSpec
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["class_tokens", "condition_tokens", "pooled_vector"]


def class_tokens(condition: ConditionSpec, width: int) -> nn.Embedding | None:
    """One token for each class and a last one for none, as wide as a text's or else `width`; None where text is all."""
    if condition.num_classes is None and condition.text_width is not None:
        return None
    return nn.Embedding((condition.num_classes or 0) + 1, condition.text_width or width)


def condition_tokens(
    table: nn.Embedding | None, condition: Condition, num: int
) -> tuple[Float[Tensor, " batch length width"], Bool[Tensor, " batch length"] | None]:
    """The class's token out of `class_tokens`, then the text's, and which of them may be read; None = all."""
    parts: list[Tensor] = [] if condition.tokens is None else [condition.tokens]
    mask = condition.mask
    if table is not None:
        none = torch.zeros(num, dtype=torch.int64, device=table.weight.device)
        parts.insert(0, table(none if condition.classes is None else condition.classes).unsqueeze(1))
        mask = None if mask is None else torch.cat([mask.new_ones(num, 1), mask], 1)
    return torch.cat(parts, 1), mask


def pooled_vector(condition: Condition, tokens: Tensor, mask: Tensor | None) -> Float[Tensor, " batch width"]:
    """What the conditioner pooled, or else the mean of each sample's tokens that may be read."""
    if condition.pooled is not None:
        return condition.pooled
    if mask is None:
        return tokens.mean(1)
    return (tokens * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
