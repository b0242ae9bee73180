"""AdamW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Len, Lt
from genever.slots import Schedule
from torch import nn

__all__ = ["AdamW"]


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay.

    Only parameters of two or more dimensions decay: biases, and the gains of norms, do not.

    Args:
        lr: learning rate, before the schedule's factor.
        betas: decays of the averages of the gradient and of its square.
        weight_decay: share of a weight lost per step, times lr. 0 = disable.
        eps: added to the root of the squared gradient.
        schedule: of the learning rate. None = constant.
        fused: one kernel for all parameters; False = a kernel for each operation, which other devices may need.

    References:
        Loshchilov and Hutter, Decoupled Weight Decay Regularization, 2019, algorithm 2. arXiv:1711.05101
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    infrastructure: ClassVar[tuple[str, ...]] = ("fused",)

    lr: Annotated[float, Gt(0)] = 1e-4
    betas: Annotated[Sequence[Annotated[float, Ge(0), Lt(1)]], Len(2, 2)] = (0.9, 0.999)
    weight_decay: Annotated[float, Ge(0)] = 0.0
    eps: Annotated[float, Gt(0)] = 1e-8
    schedule: Schedule | None = None
    fused: bool = True

    def __post_init__(self) -> None:
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(
                f"optimizer.AdamW.betas = {self.betas!r} is not two decays in [0, 1). Write two, such as (0.9, 0.999)."
            )

    def build(self, parameters: Mapping[str, nn.Parameter]) -> Sequence[torch.optim.Optimizer]:
        decaying = [p for p in parameters.values() if p.ndim >= 2]
        others = [p for p in parameters.values() if p.ndim < 2]
        groups = [
            {"params": members, "weight_decay": decay}
            for members, decay in ((decaying, self.weight_decay), (others, 0.0))
            if members
        ]
        first, second = self.betas
        return [torch.optim.AdamW(groups, lr=self.lr, betas=(first, second), eps=self.eps, fused=self.fused)]
