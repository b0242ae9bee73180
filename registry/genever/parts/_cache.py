"""Surfaces kept between two commands, so that a second look reads no source.

They lie in $GENEVER_CACHE, else in 'genever' under $XDG_CACHE_HOME or ~/.cache. An entry holds as long as every file that
it was read from, and this package, stay as they are. A cache that cannot be read or written costs time and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path

from genever.parts._files import Stamp, UnreadableError, find_file, stamp_of
from genever.parts._surface import Parameter, Surface

__all__ = ["cached_surface"]


def cached_surface(target: str, *, name: str, slot: str) -> Surface:
    """The surface of a target, without importing it; read from its source where the cache has no answer.

    Raises:
        UnreadableError: as `read_surface`.
    """
    key = repr((target, name, slot, find_file(target.partition(":")[0]), _reader()))
    entry = _folder() / f"{name}-{zlib.crc32(key.encode()):08x}.json"
    kept = _kept(entry, key)
    if kept is not None:
        return kept
    # Not imported where the cache has the answer.
    from genever.parts._reading import read_surface
    from genever.parts._source import Sources

    sources = Sources()
    surface = read_surface(target, name=name, slot=slot, sources=sources)
    _keep(entry, key, surface, sources.stamps)
    return surface


def _kept(entry: Path, key: str) -> Surface | None:
    try:
        known = json.loads(entry.read_bytes())
        if known["key"] != key or any(stamp_of(file) != tuple(stamp) for file, stamp in known["files"].items()):
            return None
        said = known["surface"]
        parameters = tuple(Parameter(**one) for one in said.pop("parameters"))
        lists = {key: tuple(value) for key, value in said.items() if isinstance(value, list)}
        return Surface(**{**said, **lists}, parameters=parameters)
    except (OSError, UnreadableError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _keep(entry: Path, key: str, surface: Surface, stamps: dict[str, Stamp]) -> None:
    said = {one.name: getattr(surface, one.name) for one in fields(Surface)}
    said["parameters"] = [vars(parameter) for parameter in surface.parameters]
    aside = entry.with_suffix(f".{os.getpid()}")
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"key": key, "files": stamps, "surface": said}), encoding="utf-8")
        aside.replace(entry)
    except OSError:
        with suppress(OSError):
            aside.unlink()


@cache
def _reader() -> tuple[object, ...]:
    """What decides how a source is read: this package's own files and the version of Python."""
    return (sys.version_info[:2], *(stamp_of(str(file)) for file in sorted(Path(__file__).parent.glob("*.py"))))


def _folder() -> Path:
    if own := os.environ.get("GENEVER_CACHE"):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(shared) / "genever" / "surfaces"
