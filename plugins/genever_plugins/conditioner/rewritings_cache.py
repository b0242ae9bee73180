"""Rewritten prompts, kept between two processes.

They lie in 'rewritings' under $GENEVER_CACHE, else under 'genever' in $XDG_CACHE_HOME or ~/.cache: a file for each
rewriter, to which every process appends lines of JSON. A line that is damaged is passed over. A cache that cannot be read
or written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

__all__ = ["content_key", "keep", "recall"]


def content_key(settings: Sequence[object], sources: Sequence[bytes]) -> str:
    """A name that follows from settings and the text of sources."""
    digest = blake2b(repr(tuple(settings)).encode(), digest_size=16)
    for source in sources:
        digest.update(source)
    return digest.hexdigest()


def recall(key: str) -> dict[str, str]:
    """What prompts became; of two lines for one prompt the first counts."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for prompt, rewritten in _pairs(_file(key).read_bytes().splitlines()):
            found.setdefault(prompt, rewritten)
    return found


def keep(key: str, rewritten: Mapping[str, str]) -> None:
    """Adds what prompts became."""
    lines = [json.dumps({"prompt": prompt, "rewritten": text}) + "\n" for prompt, text in rewritten.items()]
    if not lines:
        return
    with contextlib.suppress(OSError):
        _file(key).parent.mkdir(parents=True, exist_ok=True)
        with _file(key).open("ab") as file:
            file.write("".join(lines).encode())


def _pairs(lines: Iterable[bytes]) -> Iterable[tuple[str, str]]:
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(line)
            prompt, rewritten = said["prompt"], said["rewritten"]
            if isinstance(prompt, str) and isinstance(rewritten, str):
                yield prompt, rewritten


def _file(key: str) -> Path:
    own, shared = os.environ.get("GENEVER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    root = Path(own) if own else Path(shared or "~/.cache") / "genever"
    return root.expanduser() / "rewritings" / f"{key}.jsonl"
