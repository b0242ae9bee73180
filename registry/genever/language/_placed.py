"""What a part refuses when it is built, said with the line that is to be changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from genever.errors import Place
from genever.language._config import START

__all__ = ["place_named"]

_KEY = re.compile(r"(?:\w+/)*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def place_named(message: str, record: str) -> Place | None:
    """Where a key was set that a message names; None = it names none that was set, or it may be one of several.

    Of several keys that it names, one counts that the experiment's own file sets, and else the first. What was taken over
    from a start is changed where the start is named.

    Args:
        record: a run's resolved.json.
    """
    known = json.loads(record)
    found = [place for name in _KEY.findall(message) if (place := _place(name, known["values"]))]
    return next((place for place in found if place.file == known["file"]), found[0] if found else None)


def _place(name: str, values: Mapping[str, Mapping[str, Any]]) -> Place | None:
    """Of the key of that name, which may leave out the slot; of one in several scopes, that in none."""
    set_here = {key: one for key, one in values.items() if one["file"]}
    keys = [key for key in set_here if key == name or key.endswith((f".{name}", f"/{name}"))]
    plain = [key for key in keys if "/" not in key]
    (key,) = plain or keys if len(plain or keys) == 1 else (None,)
    if key is None:
        return None
    one = set_here[str(START) if set_here[key]["origin"] == "start" else key]
    return Place(one["file"], one["line"])
