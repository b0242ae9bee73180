"""The newest grid of samples of each run, small enough to be carried by a page."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genever.runs import RunDirectory

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Picture", "newest_picture"]

#: As training names its grids. What `genever sample` writes beside them shows other noise, or other prompts.
_NAME = re.compile(r"(average|raw)_(\d+)\.png")
#: Bytes and pixels above which a grid is shown smaller than it is; a grid above the last is not opened at all.
_MOST_BYTES, _MOST_PIXELS, _MOST_OPENED = 100_000, 720, 64_000_000


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A grid of samples.

    Args:
        source: a data URI.
        step: of training.
        size: width and height as they were written, in pixels.
        is_shrunk: whether `source` is smaller than that.
    """

    source: str
    weights: str
    step: int
    size: tuple[int, int]
    is_shrunk: bool


def newest_picture(run: RunDirectory) -> Picture | None:
    """The grid of the last step, of an average where there is one; None where there is none that can be read."""
    from PIL.Image import DecompressionBombError
    from PIL.Image import open as open_image

    named = [(found, file) for file in run.samples.glob("*.png") if (found := _NAME.fullmatch(file.name))]
    if not named:
        return None
    newest = max(int(found[2]) for found, _ in named)
    found, file = min(((found, file) for found, file in named if int(found[2]) == newest), key=lambda one: one[0][1])
    try:
        if file.stat().st_size > _MOST_OPENED:
            return None
        data = file.read_bytes()
        with open_image(io.BytesIO(data), formats=("PNG",)) as image:
            size, kind = image.size, "png"
            is_shrunk = len(data) > _MOST_BYTES or max(size) > 2 * _MOST_PIXELS
            if is_shrunk:
                data, kind = _shrunk(image), "webp"
            else:
                image.verify()
    except (OSError, ValueError, SyntaxError, DecompressionBombError):
        return None
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(source=source, weights=found[1], step=newest, size=size, is_shrunk=is_shrunk)


def _shrunk(image: Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    written = io.BytesIO()
    small.save(written, "WEBP", quality=80)
    return written.getvalue()
