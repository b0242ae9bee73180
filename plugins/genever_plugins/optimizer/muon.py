"""Muon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Len, Lt
from genever.slots import Schedule
from torch import nn

from genever_plugins.optimizer._guarded import GuardedMuon

__all__ = ["Muon"]


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Momentum with orthogonalised updates for hidden matrices, AdamW for everything else.

    A parameter is hidden if it has exactly two dimensions and no part of its name contains one of `outer`. Embeddings,
    heads, convolutions, biases and gains go to AdamW, where only those of two or more dimensions decay.

    Args:
        lr: of hidden matrices, before the schedule's factor; a step changes each by a matrix of spectral norm
            lr sqrt(max(1, rows / columns)).
        momentum: decay of the average of gradients.
        weight_decay: share of a weight lost per step, times lr. 0 = disable.
        adamw_lr: of everything else.
        adamw_betas: of everything else.
        outer: what names contain that are not hidden, in lower case: the conditioner, embeddings and output layers of every
            backbone of Genever's own.
        schedule: of both learning rates. None = constant.
        fused: one kernel for all of AdamW's parameters.

    References:
        Jordan et al., Muon: An optimizer for hidden layers in neural networks, 2024. kellerjordan.github.io/posts/muon
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("fused",)

    lr: Annotated[float, Gt(0)] = 0.02
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.95
    weight_decay: Annotated[float, Ge(0)] = 0.0
    adamw_lr: Annotated[float, Gt(0)] = 3e-4
    adamw_betas: Annotated[Sequence[Annotated[float, Ge(0), Lt(1)]], Len(2, 2)] = (0.9, 0.95)
    outer: Sequence[str] = (
        "conditioner.",
        "embed",
        "label_emb",
        "class_tokens",
        "numbers.",
        "head",
        "final",
        "norm_out",
        "transformer.proj_out",
        "decoder_pred",
    )
    schedule: Schedule | None = None
    fused: bool = True

    def __post_init__(self) -> None:
        if len(self.adamw_betas) != 2 or not all(0 <= beta < 1 for beta in self.adamw_betas):
            raise ValueError(
                f"optimizer.Muon.adamw_betas = {self.adamw_betas!r} is not two decays in [0, 1). "
                "Write two, such as (0.9, 0.95)."
            )

    def build(self, parameters: Mapping[str, nn.Parameter]) -> Sequence[torch.optim.Optimizer]:
        hidden = [p for name, p in parameters.items() if _is_hidden(name, p, self.outer)]
        others = [p for name, p in parameters.items() if not _is_hidden(name, p, self.outer)]
        built: list[torch.optim.Optimizer] = []
        if hidden:
            built.append(GuardedMuon(hidden, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay))
        if others:
            built.append(self._adamw(others))
        return built

    def _adamw(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        decaying = [p for p in parameters if p.ndim >= 2]
        kept = [p for p in parameters if p.ndim < 2]
        groups = [
            {"params": members, "weight_decay": decay}
            for members, decay in ((decaying, self.weight_decay), (kept, 0.0))
            if members
        ]
        first, second = self.adamw_betas
        return torch.optim.AdamW(groups, lr=self.adamw_lr, betas=(first, second), fused=self.fused)


def _is_hidden(name: str, parameter: nn.Parameter, outer: Sequence[str]) -> bool:
    return parameter.ndim == 2 and not any(word in name.lower() for word in outer)
