"""The derivative of what a network says along a trajectory: a Jacobian-vector product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from genever.slots import Path
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["derivative_along"]

#: Half the distance of finite differences, in t: well above the rounding of t, and well below 1/1000, since networks read
#: 1000 t through sinusoids.
_STEP = 1e-4


@torch.no_grad()
def derivative_along(
    function: Callable[[Tensor, Float[Tensor, " batch"]], Tensor],
    x: Tensor,
    t: Float[Tensor, " batch"],
    velocity: Tensor,
    *,
    path: Path,
    how: Literal["exact", "finite_differences"],
) -> Tensor:
    """d/dt function(x_t, t) where dx_t/dt = `velocity`, in float32 and without gradient.

    Whatever else the function reads is held fixed, such as a second time.

    Args:
        function: treats each sample on its own.
        path: its times end where finite differences become one-sided.
        how: 'exact' = by forward-mode differentiation, with attention that has one; 'finite_differences' = by two calls of
            the function, for networks that have no forward-mode derivative.

    Raises:
        ValueError: the exact derivative of something in `function` is not known.
    """
    with torch.autocast(x.device.type, enabled=False):
        if how == "finite_differences":
            return _difference(function, x, t, velocity, path)
        return _exact(function, x, t, velocity)


def _exact(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, velocity: Tensor) -> Tensor:
    # Fused attention has no forward-mode derivative; the plain one, of matrix products and a softmax, has.
    try:
        with sdpa_kernel(SDPBackend.MATH):
            return torch.func.jvp(function, (x, t), (velocity, torch.ones_like(t)))[1]
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(
            "A distiller of this stage asks for derivative = 'exact', but this network gives none: "
            f"{str(error).partition('.')[0]}. Set its derivative to 'finite_differences'."
        ) from error


def _difference(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor, velocity: Tensor, path: Path) -> Tensor:
    before, after = (t - _STEP).clamp_min(path.start), (t + _STEP).clamp_max(path.stop)

    def wide(times: Tensor) -> Tensor:
        return times.view(-1, *[1] * (x.ndim - 1))

    def at(times: Tensor) -> Tensor:
        return function(x + wide(times - t) * velocity, times)

    return (at(after) - at(before)) / wide(after - before)
