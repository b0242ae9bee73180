"""Small heads on another network's features, which tell real samples from fake ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from genever.values import Condition, ConditionSpec
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import silu

from genever_plugins.distiller.gradient_penalty import Features, Penalty

__all__ = ["Discriminator", "Head"]


class Discriminator(nn.Module):
    """A head on each of some features, conditioned on a time, on a condition, or on neither.

    It has no statistics of a batch: what it says of a sample does not depend on which others are judged with it. All its
    logits are 0 at the start.

    Args:
        widths: of each of the features.
        hidden: width of each head, and of what conditions it.
        timed: whether it is told the time at which its features were made.
        spec: of the condition that it is told. None = none.
    """

    def __init__(
        self, widths: Sequence[int], hidden: int, *, timed: bool = False, spec: ConditionSpec | None = None
    ) -> None:
        super().__init__()
        self.embedding = Embedding(hidden, timed=timed, spec=spec or ConditionSpec())
        # A dictionary, since the entries of a list would be laid out over processes one by one.
        self.heads = nn.ModuleDict({f"head_{n}": Head(width, hidden) for n, width in enumerate(widths, start=1)})

    def forward(
        self,
        features: Features,
        t: Float[Tensor, " batch"] | None = None,
        condition: Condition | None = None,
        penalty: Penalty | None = None,
    ) -> tuple[Float[Tensor, " batch places"], Float[Tensor, " batch"] | None]:
        """A logit for every token of every feature, high = real, and the penalty of each sample.

        Args:
            penalty: is worked out in here, where the weights are whole however they lie over processes. None = no penalty.
        """
        kind = next(self.parameters()).dtype
        with torch.autocast(features[0].device.type, enabled=False):
            given = tuple(one.to(kind) for one in features)
            c = self.embedding(len(given[0]), t, condition)
            penalties = None if penalty is None else penalty(lambda seen: self._logits(seen, c), given)
            return self._logits(given, c), penalties

    def _logits(self, features: Features, c: Tensor) -> Float[Tensor, " batch places"]:
        return torch.cat([head(one, c) for head, one in zip(self.heads.values(), features, strict=True)], dim=1)


class Head(nn.Module):
    """An MLP on each token, its hidden features scaled and shifted by what conditions it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden)
        self.modulation = nn.Linear(hidden, 2 * hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, features: Float[Tensor, " batch tokens width"], c: Float[Tensor, " batch hidden"]
    ) -> Float[Tensor, " batch tokens"]:
        scale, shift = self.modulation(c).unsqueeze(1).chunk(2, dim=2)
        hidden = silu(self.first(self.norm(features)) * (1 + scale) + shift)
        return self.last(silu(self.second(hidden))).squeeze(2)


class Embedding(nn.Module):
    """A vector for each sample: the sum of what its time, its class and its text say."""

    def __init__(self, width: int, *, timed: bool, spec: ConditionSpec) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(width))
        self.time = nn.Sequential(nn.Linear(2 * NUM_RATES, width), nn.SiLU(), nn.Linear(width, width)) if timed else None
        self.classes = None if spec.num_classes is None else nn.Embedding(spec.num_classes + 1, width)
        self.pooled = None if spec.pooled_width is None else nn.Linear(spec.pooled_width, width)
        self.text = None if spec.text_width is None else nn.Linear(spec.text_width, width)

    def forward(self, num: int, t: Tensor | None, condition: Condition | None) -> Float[Tensor, " batch width"]:
        c, kind = self.constant.expand(num, -1), self.constant.dtype
        if self.time is not None and t is not None:
            c = c + self.time(waves(t).to(kind))
        if condition is None:
            return c
        if self.classes is not None and condition.classes is not None:
            c = c + self.classes(condition.classes)
        if self.pooled is not None and condition.pooled is not None:
            c = c + self.pooled(condition.pooled.to(kind))
        if self.text is not None and condition.tokens is not None:
            c = c + self.text(mean_token(condition).to(kind))
        return c


#: Waves per unit of time: 1/2, 1, ..., 4.
NUM_RATES = 8


def waves(t: Float[Tensor, " batch"]) -> Float[Tensor, " batch waves"]:
    angles = math.pi * t.float().unsqueeze(1) * torch.arange(1, NUM_RATES + 1, device=t.device)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def mean_token(condition: Condition) -> Float[Tensor, " batch width"]:
    """The mean of a text's tokens, without its padding."""
    assert condition.tokens is not None
    if condition.mask is None:
        return condition.tokens.mean(1)
    seen = condition.mask.unsqueeze(2).to(condition.tokens.dtype)
    return (condition.tokens * seen).sum(1) / seen.sum(1).clamp_min(1)
