"""Text in aligned columns."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest

__all__ = ["columns", "paragraph", "terminal_width"]


def terminal_width() -> int:
    """Columns of the terminal, at most 120; 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, 120)


def columns(rows: Sequence[Sequence[str]], *, indent: int = 2, widest: int = 36) -> str:
    """Rows in columns, two spaces apart; a cell wider than its column goes on below.

    Args:
        widest: the most characters of any column but the last, which takes what is left of the line.
    """
    if not rows:
        return ""
    widths = [min(max(len(row[place]) for row in rows), widest) for place in range(len(rows[0]))]
    used = indent + sum(width + 2 for width in widths[:-1])
    widths[-1] = max(terminal_width() - used, 24)
    return "\n".join(_row(row, widths, indent) for row in rows)


def paragraph(text: str, *, indent: int = 2, width: int | None = None) -> str:
    """Text wrapped into lines."""
    space = " " * indent
    return textwrap.fill(
        text,
        width or terminal_width(),
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _row(row: Sequence[str], widths: Sequence[int], indent: int) -> str:
    cells = [textwrap.wrap(cell, width, break_on_hyphens=False) for cell, width in zip(row, widths, strict=True)]
    lines = zip_longest(*cells, fillvalue="")
    spaced = ("  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join((" " * indent + line).rstrip() for line in spaced) or " " * indent
