"""Uniform times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from genever.values import TimeContext
from jaxtyping import Float
from torch import Tensor

__all__ = ["Uniform"]


@dataclass(frozen=True, kw_only=True)
class Uniform:
    """t ~ Uniform(0, 1).

    Args:
        stratified: one time from each of `num` equal intervals, in random order: the same distribution of every time,
            and less variance of a batch's mean.

    References:
        Lipman et al., Flow Matching for Generative Modeling, 2023. arXiv:2210.02747
        Kingma et al., Variational Diffusion Models, 2021, appendix I.1 (stratified times). arXiv:2107.00630
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    stratified: bool = False

    def __call__(self, num: int, *, generator: torch.Generator, context: TimeContext) -> Float[Tensor, " num"]:
        u = torch.rand(num, generator=generator, device=generator.device)
        if not self.stratified:
            return u
        return (torch.randperm(num, generator=generator, device=generator.device) + u) / num
