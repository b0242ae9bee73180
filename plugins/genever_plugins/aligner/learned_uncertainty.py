"""Errors weighed by how uncertain they are at each noise level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from genever.slots import Path
from genever.training import Composition, Forward, Regression
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["LearnedUncertainty"]


@dataclass(frozen=True, kw_only=True)
class LearnedUncertainty:
    """Weigh each sample's error by a learned uncertainty of its noise level, so that all levels count alike.

    A sample's error e becomes

        e / exp(v(t)) + v(t),    v = head(√2 cos(rates · ln(sigma / alpha) / 4 + phases)),

    whose minimum over v is the logarithm of the mean error at t. The head starts at zero: the first step is that of the
    unweighted loss, bit for bit. It learns with the model and is not needed afterwards. Logged are the plain error as
    "loss", and as "reweighing" what is to be added to it; their sum is minimised. Validation losses stay plain.

    Args:
        num_features: cosines of the noise level that v is linear in; rates are drawn from N(0, (2 pi)²), phases evenly.

    References:
        Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models, 2024, eq. (21).
            arXiv:2312.02696
        Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics, 2018.
            arXiv:1705.07115
    """

    provides: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    num_features: Annotated[int, Ge(1)] = 128

    def align(self, method: Regression, composition: Composition) -> Regression:
        uncertainty = composition.build_seeded("uncertainty", lambda: Uncertainty(self.num_features))
        return method.adding(Reweighing(method.errors, method.loss.path, uncertainty))


class Uncertainty(nn.Module):
    """v: the logarithm of the error that is to be expected at a noise level, in full precision under any autocast."""

    rates: Tensor
    phases: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("rates", 2 * math.pi * torch.randn(num_features))
        self.register_buffer("phases", 2 * math.pi * torch.rand(num_features))
        self.head = nn.Linear(num_features, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, level: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        with torch.autocast(level.device.type, enabled=False):
            features = math.sqrt(2) * torch.cos(level.unsqueeze(1) * self.rates + self.phases)
            return self.head(features).squeeze(1)


class Reweighing:
    """`genever.training.Term`: the mean of e / exp(v) + v, less the mean of e that the base method has already.

    Args:
        errors: e of each sample of a forward pass.
    """

    taps = ()
    learning = frozenset({"uncertainty"})
    frozen = frozenset[str]()

    def __init__(self, errors: Callable[[Forward], Tensor], path: Path, uncertainty: nn.Module) -> None:
        self.errors = errors
        self.path = path
        self.roles = {"uncertainty": uncertainty}

    def active(self, step: int) -> bool:
        return True

    def __call__(self, forward: Forward) -> Mapping[str, Tensor]:
        errors = self.errors(forward)
        v = forward.roles["uncertainty"](noise_level(self.path, forward.t))
        return {"reweighing": (torch.expm1(-v) * errors + v).mean()}

    def after(self, roles: Mapping[str, nn.Module], step: int) -> None: ...


def noise_level(path: Path, t: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """EDM's ln(sigma / alpha) / 4, with the ratio kept within [0.002, 80]."""
    return (path.sigma(t) / path.alpha(t)).clamp(0.002, 80).log() / 4
