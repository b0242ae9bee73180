"""Reading one image file, however odd."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

__all__ = ["EXTENSIONS", "UnreadableImageError", "read_image", "size_of"]

#: Files with other endings are no images, and nobody's mistake.
EXTENSIONS: frozenset[str] = frozenset(
    (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)

#: What Pillow's decoders raise at damaged files.
_DAMAGE = (
    EOFError,
    Image.DecompressionBombError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

#: Orientations that exchange height and width.
_ON_THEIR_SIDE = (5, 6, 7, 8)


class UnreadableImageError(Exception):
    """A file is not an image that can be used; the message says why."""


def read_image(file: Path, *, height: int, width: int, channels: int, min_side: int = 1) -> NDArray[np.uint8]:
    """The image [channels, height, width]: resized (bicubic, antialiased) to cover that size, and cropped at its centre.

    The camera's orientation is applied, transparency is laid on white, 16-bit and float images are scaled, not cut, and of
    an animation the first frame is taken.

    Raises:
        UnreadableImageError: the file is missing, damaged, too large to be meant, or has a side shorter than min_side.
        OSError: the system does not read it.
    """
    try:
        with Image.open(file) as opened:
            if min(opened.size) < min_side:
                raise UnreadableImageError(f"its {opened.width} x {opened.height} pixels are below min_side = {min_side}")
            upright = ImageOps.exif_transpose(opened)
            plain = _on_white(_eight_bit(upright)).convert("L" if channels == 1 else "RGB")
            fitted = np.asarray(ImageOps.fit(plain, (width, height), Image.Resampling.BICUBIC))
    except FileNotFoundError:
        raise UnreadableImageError("there is no such file") from None
    except UnidentifiedImageError:
        raise UnreadableImageError("it is no image, or a damaged one") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # It is the disk's or the network's: passed over, it would change the data of this start alone.
        raise UnreadableImageError(str(error) or type(error).__name__) from error
    return fitted.reshape(height, width, channels).transpose(2, 0, 1).copy()


def size_of(file: Path) -> tuple[int, int]:
    """Height and width of a readable image, upright; of the file only its head is read."""
    with Image.open(file) as opened:
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in _ON_THEIR_SIDE
        return (opened.width, opened.height) if turned else (opened.height, opened.width)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Pillow cuts deep images off at 255 where they should be scaled."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    largest = 65535.0 if image.mode != "F" else 1.0 if values.max(initial=0) <= 1 else 255.0
    return Image.fromarray((values / largest * 255).clip(0, 255).round().astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear)
