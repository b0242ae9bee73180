"""Images at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

__all__ = ["resized"]


def resized(
    images: Float[Tensor, " batch channels height width"], size: tuple[int, int]
) -> Float[Tensor, " batch channels rows columns"]:
    """Bicubic (Keys' kernel, a = -1/2), antialiased where it shrinks, as Pillow does it; the same images at the same size.

    Args:
        size: (rows, columns).
    """
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return functional.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False)
