"""Results as one page that carries all it shows: no network, no other file, and nothing of a run's files read as markup."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genever.results._chapters import Chapter
from genever.results._gather import Table
from genever.results._limits import Limits
from genever.results._names import legible
from genever.results._page_data import page_data

__all__ = ["embedded", "page"]

_SCRIPTS = ("model.js", "scales.js", "table.js", "curves.js", "parallel.js", "lifecycle.js", "main.js")


def page(table: Table, chapters: Sequence[Chapter], limits: Limits | None = None) -> str:
    """The page, whole."""
    parts = {
        "title": html.escape(legible(f"{table.name}: results")),
        "style": _file("page.css"),
        "script": "\n".join(map(_file, _SCRIPTS)),
        "data": embedded(page_data(table, chapters, limits or Limits())),
    }
    before, *pieces = _file("page.html").split("[[")
    return before + "".join(parts[name] + after for name, _, after in (piece.partition("]]") for piece in pieces)) + "\n"


def embedded(data: Any) -> str:
    """JSON that ends no element and names no address, whatever stands in it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.replace("://", ":\\/\\/")


def _file(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8").strip()
