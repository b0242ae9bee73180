"""The preference between two images that a denoiser implies, against a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from genever.training import Regression
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

__all__ = ["Errors", "Pairs", "best_and_worst", "pair_losses", "preference_unlikelihood"]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Two latents of each condition.

    Args:
        differ: whether the first is really better.
        cond: as it is told to the denoiser, after dropout.
    """

    better: Float[Tensor, " batch channels height width"]
    worse: Float[Tensor, " batch channels height width"]
    differ: Bool[Tensor, " batch"]
    cond: Tensor


@dataclass(frozen=True, kw_only=True)
class Errors:
    """A denoiser's errors on pairs, means over dimensions."""

    better: Float[Tensor, " batch"]
    worse: Float[Tensor, " batch"]


def best_and_worst(utilities: Float[Tensor, " batch num"]) -> tuple[Tensor, Tensor, Bool[Tensor, " batch"]]:
    """The places of the best and the worst of several, and whether they differ."""
    return utilities.argmax(1), utilities.argmin(1), utilities.amax(1) > utilities.amin(1)


def preference_unlikelihood(
    model: Errors, reference: Errors, beta: float
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """-log p(better is preferred), and what p is the sigmoid of."""
    gained = (model.better - reference.better) - (model.worse - reference.worse)
    margin = -beta / 2 * gained  # Wallace et al., eq. (14)
    return -F.logsigmoid(margin), margin


def pair_losses(
    pairs: Pairs,
    *,
    base: Regression,
    roles: Mapping[str, nn.Module],
    x_0: Tensor,
    t: Float[Tensor, " batch"],
    beta: float,
    seen: dict[str, Tensor],
) -> dict[str, Tensor]:
    """The mean over pairs, of which equal ones count as 0; notes in `seen` what is logged.

    "implicit_accuracy" is the share of pairs whose better one the denoiser prefers; equal ones in either count half.

    Args:
        base: corrupts data and knows the errors.
        roles: "model" and "reference".
        x_0: noise, the same for both of a pair, as are t and the condition.
    """
    x_1 = torch.cat([pairs.better, pairs.worse])
    x_0, t, cond = (torch.cat([one, one]) for one in (x_0, t, pairs.cond))
    x_t = base.corrupt(x_1, x_0, t)

    def errors(role: str) -> Errors:
        output, _ = roles[role](*base.loss.inputs(x_t, t), cond)
        better, worse = base.loss.errors(output.float(), x_t=x_t, t=t, x_1=x_1, x_0=x_0).chunk(2)
        return Errors(better=better, worse=worse)

    model = errors("model")
    with torch.no_grad():
        reference = errors("reference")
    unlikelihood, margin = preference_unlikelihood(model, reference, beta)
    seen |= {
        "implicit_accuracy": (1 + (margin.detach().sign() * pairs.differ).mean()) / 2,
        "margin": margin.detach().mean(),
        "error_better": model.better.detach().mean(),
        "error_worse": model.worse.detach().mean(),
        "error_better_reference": reference.better.mean(),
        "error_worse_reference": reference.worse.mean(),
    }
    return {"preference": (unlikelihood * pairs.differ).mean()}
