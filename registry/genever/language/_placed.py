"""What a part refuses when it is built, said with the line that is to be changed."""

from __future__ import annotations

import json
import re

from genever.errors import Place

__all__ = ["place_named"]

_KEY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


def place_named(message: str, record: str) -> Place | None:
    """Where the first key was set that a message names; None = it names none that was set.

    Args:
        record: a run's resolved.json.
    """
    values = json.loads(record)["values"]
    places = {key.rpartition("/")[2]: Place(one["file"], one["line"]) for key, one in values.items() if one["file"]}
    for named in _KEY.findall(message):
        for key, place in places.items():
            if key == named or key.endswith(f".{named}"):
                return place
    return None
