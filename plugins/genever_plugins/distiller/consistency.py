"""The consistency function: from wherever a trajectory is, to where it ends."""

from __future__ import annotations

import torch
from genever.training import Field
from jaxtyping import Float, Shaped
from torch import Tensor

__all__ = ["end", "step", "wide"]


def step(field: Field, x: Tensor, t: Float[Tensor, " batch"], s: Tensor) -> Tensor:
    """DDIM's step from t to s: alpha(s) x_1 + sigma(s) x_0 of the two estimates at t.

    On the straight path it is Euler's, x + (s - t) u. At s = t it is x, on any path and whatever the network says, because
    the estimates together are x.

    Args:
        s: where it ends, one time for all samples or one for each.

    References:
        Song et al., Denoising Diffusion Implicit Models, 2021, eq. (12). arXiv:2010.02502
    """
    x_1, x_0 = field.estimates(x, t)
    times = wide(field.times(x, s), x)
    return field.path.alpha(times) * x_1 + field.path.sigma(times) * x_0


def end(field: Field, x: Tensor, t: Float[Tensor, " batch"]) -> Tensor:
    """The consistency function f(x, t): one step to the end of the path.

    So f(x, stop) = x holds by itself. On the straight path f is the estimate of x_1, x + (1 - t) u; where a path ends before
    data, f leaves the noise that is there.
    """
    return step(field, x, t, torch.full((), field.path.stop, device=x.device))


def wide(t: Shaped[Tensor, " batch"], x: Tensor) -> Tensor:
    """Times, or whatever else each sample has one of, shaped to multiply x [batch, ...]."""
    return t.view(-1, *[1] * (x.ndim - 1))
